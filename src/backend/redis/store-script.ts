/**
 * The two Lua scripts by which results are written.
 *
 * What Celery does in two steps (GET, then SETEX and PUBLISH; ZADD, count and look) is one here, so that nothing falls between;
 * afterwards keys and channels hold what Python would have written. Every command in them exists in Redis 5.
 * Source: protocol notes, redis.md §5.2 and §5.4.
 */
import { redisScript } from '../../driver/redis-script.ts';

/**
 * storedState: the state a stored document begins with, without reading all of it. A document of another program may have its keys in
 * another order: that one is parsed. Second value: why what is stored is no document.
 * must: errors name the command; those of Redis do not say which one of a script a user may not give.
 */
const common = `
local function storedState(key)
  local head = redis.pcall('GETRANGE', key, 0, 63)
  if type(head) == 'table' then return nil, head.err end
  if head == '' then return nil end
  local state = string.match(head, '^%s*{%s*"status"%s*:%s*"([^"]*)"')
  if state then return state end
  local parsed, document = pcall(cjson.decode, redis.call('GET', key))
  if parsed and type(document) == 'table' and type(document.status) == 'string' then return document.status end
  return nil
end

local function must(what, key, reply)
  if type(reply) == 'table' and reply.err then error(reply.err .. ' (' .. what .. ' ' .. key .. ')') end
end

local function run(what, key, ...)
  local reply = redis.pcall(what, key, ...)
  must(what, key, reply)
  return reply
end

local function store(key, document, ttl)
  if ttl == '' then must('SET', key, redis.pcall('SET', key, document)) else must('SET', key, redis.pcall('SET', key, document, 'PX', ttl)) end
  must('PUBLISH', key, redis.pcall('PUBLISH', key, document))
end
`;

/**
 * KEYS: documents, then the hash and the sorted set of what is removed, if anything is. ARGV: milliseconds to live or '', how many
 * documents, the documents, then a mark for each: '' it stands alone, '+' it belongs to the next one, else the member that is removed
 * when it, and those that belong to it, are stored.
 * Reply: { position (from 1) and reason of each that could not be stored, positions of the members that were not there }.
 * Where there is a SUCCESS already, it stays, and counts as stored.
 *
 * Everything is stored before anything is removed: whatever ends the script in between (out of memory, a missing right), nothing is
 * removed without its document.
 */
export const storeScript = redisScript(`${common}
local count = tonumber(ARGV[2])
local hash, index = KEYS[count + 1], KEYS[count + 2]
if hash then
  local hashKind, indexKind = redis.call('TYPE', hash).ok, redis.call('TYPE', index).ok
  if (hashKind ~= 'hash' and hashKind ~= 'none') or (indexKind ~= 'zset' and indexKind ~= 'none') then
    return redis.error_reply('WRONGTYPE ' .. hash .. ' is a ' .. hashKind .. ', ' .. index .. ' is a ' .. indexKind)
  end
end
local refused, gone, members, places, whole = {}, {}, {}, {}, true
for at = 1, count do
  local key, mark = KEYS[at], ARGV[2 + count + at]
  local state, reason = storedState(key)
  if reason then
    refused[#refused + 1] = at
    refused[#refused + 1] = reason
    whole = false
  elseif state ~= 'SUCCESS' then
    store(key, ARGV[2 + at], ARGV[1])
  end
  if mark ~= '+' then
    if mark ~= '' and whole then
      members[#members + 1] = mark
      places[#places + 1] = at
    end
    whole = true
  end
end
for at, member in ipairs(members) do
  if redis.call('HDEL', hash, member) == 0 then gone[#gone + 1] = places[at] end
end
if #members > 0 then redis.call('ZREM', index, unpack(members)) end
return { refused, gone }
`);

/**
 * KEYS: document, parts, added, size, claim, group; then the hash and the sorted set of what is removed, if anything is.
 * ARGV: document or '' (not stored), milliseconds to live or '', '1' for a sorted set, score, member, what every member of the
 * task begins with, task id, size for want of a stored one or ''; then the member to be removed.
 * 0: counted, and removed. 1: what is to be removed was not there, and nothing was done: whoever took it counts. Else { saved group or
 * false, { members } }: complete, and this task's to finish; nothing was removed.
 *
 * A task counts once, whatever its results: a member of the same task is looked for among those of the same score, or, where
 * there may be many (no index, a list), when the task has a result already. A success takes the place of a failure.
 *
 * The removal comes last: whatever ends the script before, nothing is removed.
 */
export const storePartScript = redisScript(`${common}
local parts, ttl, score, member, head, taskId = KEYS[2], ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local hash, index, held = KEYS[7], KEYS[8], ARGV[9]
if hash then
  run('ZSCORE', index, held)
  if run('HEXISTS', hash, held) == 0 then return 1 end
end
local state, reason = storedState(KEYS[1])
if reason then return redis.error_reply(reason) end
if ARGV[1] ~= '' and state ~= 'SUCCESS' then store(KEYS[1], ARGV[1], ttl) end

local kind = run('TYPE', parts).ok
local list = kind == 'list' or (kind == 'none' and ARGV[3] ~= '1')
local again = ARGV[1] == '' or state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED'

local function isOfTask(text) return string.sub(text, 1, #head) == head end
local function succeeded(text) return string.sub(text, #head + 1, #head + 9) == '"SUCCESS"' end
local function counted()
  if hash then
    run('HDEL', hash, held)
    run('ZREM', index, held)
  end
  return 0
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
local size = tonumber(run('GET', KEYS[4]) or ARGV[8])
local added = tonumber(run('GET', KEYS[3]) or 0) or 0
if ttl ~= '' then
  run('PEXPIRE', parts, ttl)
  run('PEXPIRE', KEYS[3], ttl)
  run('PEXPIRE', KEYS[4], ttl)
end
if size == nil or count ~= size + added then return counted() end

local claim = run('GET', KEYS[5])
if claim and claim ~= taskId then return counted() end
run('SET', KEYS[5], taskId, 'PX', ttl == '' and '86400000' or ttl)
return { run('GET', KEYS[6]), run(list and 'LRANGE' or 'ZRANGE', parts, 0, -1) }
`);
