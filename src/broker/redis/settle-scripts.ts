/**
 * How held messages leave `unacked`: acknowledged, given back, set aside, restored.
 *
 * Every script looks whether the tag is still there before it does anything with it, since somebody may have restored it. A message is put
 * into its list before it is taken out of `unacked`: a script that fails in between (a list that is none, a missing right) has lost nothing.
 * For Redis a script that has written may write on when memory is short, and moving a message needs none: therefore the first command,
 * which removes nothing.
 */
import { redisScript } from '../../driver/redis-script.ts';
import { mostRejected } from './reserve-script.ts';

/** KEYS unacked, index. ARGV tags. Reply: positions (from 1) of the tags that were not there. */
export const acknowledgeScript = redisScript(`
local gone = {}
for i = 1, #ARGV do
  if redis.call('HDEL', KEYS[1], ARGV[i]) == 0 then gone[#gone + 1] = i end
end
redis.call('ZREM', KEYS[2], unpack(ARGV))
return gone
`);

/**
 * A changed text back into a list.
 * KEYS unacked, index, list. ARGV 'LPUSH' (behind all others) or 'RPUSH' (the next one), then tag and text in turn.
 * Reply: positions (from 1) of the tags that were not there.
 */
export const requeueScript = redisScript(`
redis.call('ZREM', KEYS[2], '')
local gone = {}
for i = 2, #ARGV, 2 do
  if not redis.call('HGET', KEYS[1], ARGV[i]) then
    gone[#gone + 1] = i / 2
  else
    redis.call(ARGV[1], KEYS[3], ARGV[i + 1])
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  end
end
return gone
`);

/**
 * As it was, as the next ones of a list: what nobody has seen.
 * KEYS unacked, index, list. ARGV bytes behind the envelope in \`unacked\`, then tags, the one to come first last.
 */
export const giveBackScript = redisScript(`
redis.call('ZREM', KEYS[2], '')
local behind = -1 - tonumber(ARGV[1])
local count = 0
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if entry then
    redis.call('RPUSH', KEYS[3], string.sub(entry, 2, behind))
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    count = count + 1
  end
end
return count
`);

/**
 * What cannot be read: to the list of rejected elements.
 * KEYS unacked, index, rejected. ARGV bytes behind the envelope ('': it is none, all of it goes), then tags.
 */
export const setAsideScript = redisScript(`
redis.call('ZREM', KEYS[2], '')
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if entry then
    if ARGV[1] ~= '' then entry = string.sub(entry, 2, -1 - tonumber(ARGV[1])) end
    redis.call('LPUSH', KEYS[3], entry)
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('LTRIM', KEYS[3], 0, ${mostRejected - 1})
  end
end
return 1
`);

/**
 * Somebody else's message back to its lists, if it is still to be restored.
 * KEYS unacked, index, dead workers, lists… ARGV tag, text ('' drops it), highest score ('' none), id of the dead worker ('' none).
 * Reply 1 when it was done, 0 when the message is gone or alive, -1 when its worker has come back to life.
 */
export const restoreScript = redisScript(`
if ARGV[4] ~= '' and redis.call('SISMEMBER', KEYS[3], ARGV[4]) == 0 then return -1 end
if ARGV[3] ~= '' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if not score or tonumber(score) > tonumber(ARGV[3]) then return 0 end
end
redis.call('ZREM', KEYS[2], '')
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local put, failure = #KEYS == 3, nil
  for i = 4, #KEYS do
    local reply = redis.pcall('RPUSH', KEYS[i], ARGV[2])
    if type(reply) == 'number' then put = true else failure = reply end
  end
  if not put then return failure end
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('ZREM', KEYS[2], ARGV[1])
return held and 1 or 0
`);
