/**
 * Signs of life: of workers, and of the messages they hold. All times are Redis's own.
 *
 * A server that stood still, or whose clock was set forward, makes everybody late at once. So who finds itself late judges nobody: neither the
 * lives of others nor the ages of what they hold.
 */
import { redisScript } from '../../driver/redis-script.ts';

/**
 * A worker says that it lives, and names those that do not.
 * KEYS workers, dead workers. ARGV id, lease in seconds, '1' to come (back) to life, '1' to judge others.
 * Reply: 0 when the worker has been declared dead, 2 when it was late, else 1; followed by the ids of dead workers.
 */
export const signOfLifeScript = redisScript(`
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local lease = tonumber(ARGV[2])
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not before and ARGV[3] ~= '1' then return {0} end
redis.call('ZADD', KEYS[1], string.format('%.6f', now + lease), ARGV[1])
redis.call('SREM', KEYS[2], ARGV[1])
local late = before and tonumber(before) - now <= lease / 3
if ARGV[4] == '1' and before and not late then
  local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'LIMIT', 0, 16)
  for i = 1, #ended do
    redis.call('ZREM', KEYS[1], ended[i])
    redis.call('SADD', KEYS[2], ended[i])
  end
end
local reply = redis.call('SMEMBERS', KEYS[2])
table.insert(reply, 1, late and 2 or 1)
return reply
`);

/** KEYS index. ARGV tags. Reply: positions (from 1) of the tags that are not held any more. */
export const renewScript = redisScript(`
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] + 1)
local add = {}
for i = 1, #ARGV do
  add[2 * i - 1] = now
  add[2 * i] = ARGV[i]
end
local gone = {}
if redis.call('ZADD', KEYS[1], 'XX', 'CH', unpack(add)) == #ARGV then return gone end
for i = 1, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then gone[#gone + 1] = i end
end
return gone
`);

/**
 * Bodies of messages that are ours, because they are due or because the reply that named them got lost. From here on they may be started:
 * they are as young as if they had been taken now.
 * KEYS unacked, index. ARGV tags. Reply: the entry of each, nothing for a tag that is not there.
 */
export const fetchScript = redisScript(`
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] + 1)
local add = {}
for i = 1, #ARGV do
  add[2 * i - 1] = now
  add[2 * i] = ARGV[i]
end
redis.call('ZADD', KEYS[2], 'XX', unpack(add))
return redis.call('HMGET', KEYS[1], unpack(ARGV))
`);

/**
 * What has been held for too long by whomever: kombu's own rule.
 * KEYS index, mutex, workers. ARGV token, mutex milliseconds, visibility timeout in seconds, most tags, id of the worker, lease in seconds.
 * Reply: nothing when somebody else is at it, or the worker is late; else the highest score to restore and the tags, the youngest first.
 */
export const sweepScript = redisScript(`
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local lifeEnds = redis.call('ZSCORE', KEYS[3], ARGV[5])
if not lifeEnds or tonumber(lifeEnds) - now <= ARGV[6] / 3 then return {} end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[1] then return {} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local limit = string.format('%.6f', now - tonumber(ARGV[3]))
local tags = redis.call('ZREVRANGEBYSCORE', KEYS[1], limit, 0, 'LIMIT', 0, ARGV[4])
table.insert(tags, 1, limit)
return tags
`);

/** Messages that are not due: as old as if they had been taken when they are. KEYS index. ARGV highest score now, then score and tag in turn. */
export const postponeScript = redisScript(`
for i = 2, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i + 1])
  if score and tonumber(score) <= tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], 'XX', ARGV[i], ARGV[i + 1]) end
end
return 1
`);

/** KEYS mutex. ARGV token. */
export const releaseMutexScript = redisScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);
