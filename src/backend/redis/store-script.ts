/**
 * The Lua script by which results are written. Parts of chords have scripts of their own, chord-script.ts.
 *
 * What Celery does in two steps (GET, then SETEX and PUBLISH) is one here, so that nothing falls between; afterwards keys and
 * channels hold what Python would have written. Every command in it exists in Redis 5.
 * Source: protocol notes, redis.md §5.2.
 */
import { redisScript } from '../../driver/redis-script.ts';

/**
 * storedState: the state a stored document begins with, without reading all of it. A document of another program may have its keys in
 * another order: that one is parsed. Second value: why what is stored is no document.
 * must: errors name the command; those of Redis do not say which one of a script a user may not give.
 */
export const storeFunctions = `
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
export const storeScript = redisScript(`${storeFunctions}
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
