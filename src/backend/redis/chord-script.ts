/**
 * The Lua scripts that count the parts of chords.
 *
 * What Celery does in steps (ZADD, count and look) is one here; afterwards its keys hold what Python would have written. Beside them stands a hash
 * of ours, `seen`, which says what of the chord this program has seen, so that a counter that was deleted, evicted or has expired is noticed:
 *   p<task id>  the place of a part that was counted here
 *   size, added the greatest that was read of Celery's counters
 *   most        the most parts that were there at once, where Python counts as well
 *   group       a group was saved
 * Every command in them exists in Redis 5. Source: protocol notes, redis.md §5.4.
 */
import { redisScript } from '../../driver/redis-script.ts';
import { storeFunctions } from './store-script.ts';

/**
 * KEYS: document, parts, added, size, claim, group, seen; then the hash and the sorted set of what is removed, if anything is.
 * ARGV: document or '' (not stored), milliseconds to live or '', '1' for a sorted set, score, member, what every member of the
 * task begins with, task id, size for want of a stored one or ''; then the member to be removed.
 *
 * 0: counted, and removed. 1: what is to be removed was not there, and nothing was done: whoever took it counts. Less than 0: counted and
 * removed, nobody knows how many parts there are, and so many are there. Else nothing was removed, and the rest is this task's to do:
 *   { 'complete', members, saved group or false }
 *   { 'lost', members, all of \`seen\` }: parts are gone
 *   { 'no-group', members }: complete, and the saved group is gone
 *
 * A task counts once, whatever its results: a member of the same task is looked for among those of the same score, or, where
 * there may be many (no index, a list), when the task has a result already. A success takes the place of a failure.
 *
 * A counter that is not there is no loss when the chord has ended: Python then deletes them and leaves no word. So something is lost only where
 * the chord cannot have ended: for a part that was never counted before (it has no result yet), for the one that completed it,
 * and as long as its size is there.
 *
 * The removal comes last: whatever ends the script before, nothing is removed.
 */
export const storePartScript = redisScript(`${storeFunctions}
local parts, ttl, score, member, head, taskId = KEYS[2], ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local seen, hash, index, held = KEYS[7], KEYS[8], KEYS[9], ARGV[9]
if hash then
  run('ZSCORE', index, held)
  if run('HEXISTS', hash, held) == 0 then return 1 end
end
local state, reason = storedState(KEYS[1])
if reason then return redis.error_reply(reason) end
if ARGV[1] ~= '' and state ~= 'SUCCESS' then store(KEYS[1], ARGV[1], ttl) end

local kind = run('TYPE', parts).ok
local list = kind == 'list' or (kind == 'none' and ARGV[3] ~= '1')
local ended = state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED'
local again = ARGV[1] == '' or ended

local function isOfTask(text) return string.sub(text, 1, #head) == head end
local function succeeded(text) return string.sub(text, #head + 1, #head + 9) == '"SUCCESS"' end
local function counted(reply)
  if hash then
    run('HDEL', hash, held)
    run('ZREM', index, held)
  end
  return reply or 0
end
local function set(key, value)
  if ttl == '' then run('SET', key, value) else run('SET', key, value, 'PX', ttl) end
end

local present = false
if list then
  if again then
    for at, text in ipairs(run('LRANGE', parts, 0, -1)) do
      if isOfTask(text) then
        present = true
        if succeeded(member) and not succeeded(text) then run('LSET', parts, at - 1, member) end
        break
      end
    end
  end
  if not present then run('RPUSH', parts, member) end
else
  if again or score ~= '+inf' then
    for _, text in ipairs(run('ZRANGEBYSCORE', parts, score, score)) do
      if isOfTask(text) then
        present = true
        if succeeded(member) and not succeeded(text) then
          run('ZREM', parts, text)
          run('ZADD', parts, score, member)
        end
        break
      end
    end
  end
  if not present then run('ZADD', parts, score, member) end
end

local count = list and run('LLEN', parts) or run('ZCARD', parts)
local first = run('HSET', seen, 'p' .. taskId, score) == 1
local marks = run('HMGET', seen, 'size', 'added', 'most', 'group')
local known = run('HLEN', seen)
for at = 1, 4 do
  if marks[at] then known = known - 1 end
end
local stored, claim = run('GET', KEYS[4]), run('GET', KEYS[5])
local added = tonumber(run('GET', KEYS[3]) or 0) or 0
local never = first and not ended and (ARGV[1] ~= '' or kind ~= 'none')
local open = never or stored or claim == taskId

if open and not stored and marks[1] then
  stored = marks[1]
  set(KEYS[4], stored)
end
local addedBefore = tonumber(marks[2] or 0) or 0
if open and addedBefore > added then
  added = addedBefore
  set(KEYS[3], added)
end
if stored and stored ~= marks[1] then run('HSET', seen, 'size', stored) end
if added > addedBefore then run('HSET', seen, 'added', added) end
local most = math.max(first and known - 1 or known, tonumber(marks[3] or 0) or 0)
if never and not present then most = most + 1 end
local lost = open and count < most
if count > most then most = count end
if most > known then run('HSET', seen, 'most', most) end
if known == 1 and not marks[4] and run('EXISTS', KEYS[6]) == 1 then marks[4] = run('HSET', seen, 'group', 1) end

run('PEXPIRE', seen, ttl == '' and '86400000' or ttl)
if ttl ~= '' then
  run('PEXPIRE', parts, ttl)
  run('PEXPIRE', KEYS[3], ttl)
  run('PEXPIRE', KEYS[4], ttl)
  run('PEXPIRE', KEYS[6], ttl)
end
if claim and claim ~= taskId then return counted() end

local function claimed()
  run('SET', KEYS[5], taskId, 'PX', ttl == '' and '86400000' or ttl)
  return run(list and 'LRANGE' or 'ZRANGE', parts, 0, -1)
end
if lost then return { 'lost', claimed(), run('HGETALL', seen) } end
local size = tonumber(stored or ARGV[8])
if size == nil and never then return counted(-count) end
if size == nil or count ~= size + added then
  if claim then run('DEL', KEYS[5]) end
  return counted()
end
local group = run('GET', KEYS[6])
if marks[4] and not group then return { 'no-group', claimed() } end
return { 'complete', claimed(), group }
`);

/**
 * Put parts back that are gone. KEYS: parts. ARGV: milliseconds to live or '', then of each its score, what every member of its task begins with,
 * and the member. Those that have come back meanwhile stay.
 */
export const restorePartsScript = redisScript(`${storeFunctions}
local parts = KEYS[1]
local list = run('TYPE', parts).ok == 'list'
local there = {}
for _, text in ipairs(run(list and 'LRANGE' or 'ZRANGE', parts, 0, -1)) do
  there[string.match(text, '^%[1, "[^"]*", ') or text] = true
end
for at = 2, #ARGV, 3 do
  if not there[ARGV[at + 1]] then
    if list then run('RPUSH', parts, ARGV[at + 2]) else run('ZADD', parts, ARGV[at], ARGV[at + 2]) end
  end
end
if ARGV[1] ~= '' then run('PEXPIRE', parts, ARGV[1]) end
return 1
`);

/**
 * Give up a chord of which nobody knows how many parts it has. KEYS: parts, size, claim, seen. ARGV: id of a task that was counted, how many were
 * there then, milliseconds to live. -1: given up, and this task's to fail. 0: not to be given up: it is counted again, has ended, or is another's.
 * Else how many parts there are by now.
 */
export const giveUpScript = redisScript(`${storeFunctions}
if run('EXISTS', KEYS[2], KEYS[3]) > 0 or run('HEXISTS', KEYS[4], 'size') == 1 then return 0 end
if run('HEXISTS', KEYS[4], 'p' .. ARGV[1]) == 0 then return 0 end
local count = run('TYPE', KEYS[1]).ok == 'list' and run('LLEN', KEYS[1]) or run('ZCARD', KEYS[1])
if count ~= tonumber(ARGV[2]) then return count end
run('SET', KEYS[3], 'given up: ' .. ARGV[1], 'PX', ARGV[3])
return -1
`);
