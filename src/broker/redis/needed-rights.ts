/**
 * Whether the user of the URL may do what consuming takes, asked before the first message leaves its queue.
 *
 * Redis does not take back what a script did before it came to a command its user must not give, and its error does not name that
 * command. Each is tried here where it can change nothing: on members that are not there, or on a key of another type, which Redis
 * looks at after the rights.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { RedisFailure } from '../../driver/redis-failure.ts';
import { redisScript } from '../../driver/redis-script.ts';
import type { KeyLayout } from './key-layout.ts';

/**
 * ARGV id of a worker; the keys unacked, index, workers, dead workers and mutex; lists. The id is in `workers` for as long as this takes:
 * the key is there then, and a sorted set. Keys are not given as KEYS, of which Redis does not say which one it refuses.
 * Reply: command, key and words of the first refusal.
 */
const rightsScript = redisScript(`
local unacked, index, workers, dead, mutex = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local refusal
local function try(...)
  if refusal then return nil end
  local reply = redis.pcall(...)
  local words = type(reply) == 'table' and reply.err
  if words and (string.find(words, 'user executing the script', 1, true) or string.find(words, 'NOPERM', 1, true)
    or string.find(words, 'ACL failure', 1, true)) then
    local command, key = ...
    refusal = { command, key or '', words }
  end
  return reply
end

local there = try('ZSCORE', workers, ARGV[1])
try('ZREM', workers, '')
local added = try('ZADD', workers, 'NX', 0, ARGV[1])
if not there and added ~= 1 then return refusal or {} end
try('TIME')
try('HDEL', unacked, '')
try('HGET', unacked, '')
try('HMGET', unacked, '')
try('HSET', workers, '', '')
try('ZREM', index, '')
try('ZADD', index, 'XX', 0, '')
try('ZRANGEBYSCORE', workers, 0, 0)
try('ZREVRANGEBYSCORE', index, -1, -1)
try('ZSCAN', index, 0)
try('SREM', dead, '')
try('SADD', workers, '')
try('SMEMBERS', dead)
try('SISMEMBER', dead, '')
try('LPUSH', workers, '')
try('RPUSH', workers, '')
try('RPOP', workers)
try('LTRIM', workers, 0, -1)
try('GET', mutex)
for at = 7, #ARGV do try('LTRIM', ARGV[at], 0, -1) end
if not there then redis.call('ZREM', workers, ARGV[1]) end
return refusal or {}
`);

/** Rejects with a RedisFailure that names what is missing. */
export async function mustHaveRights(
  connection: RedisConnection,
  layout: KeyLayout,
  workerId: string,
  queues: readonly string[],
): Promise<void> {
  const keys = [layout.unacked, layout.unackedIndex, layout.workers, layout.deadWorkers, layout.unackedMutex];
  const lists = queues.flatMap((queue) => layout.lists(queue));
  const reply = await connection.run(rightsScript, [], [workerId, ...keys, ...lists]);
  if (!Array.isArray(reply) || reply.length === 0) return;
  const [command, key, words] = reply.map(String);
  const text = `consuming from Redis needs the right to ${command} ${key}, which the user of the URL lacks: ${words} (${connection.displayUrl})`;
  throw new RedisFailure('permission', text);
}
