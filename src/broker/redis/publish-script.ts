/**
 * A message to a named exchange: looked up, and pushed or broadcast, in one step.
 *
 * A binding with a pattern is a topic, one without wants the same routing key. Topics are matched by words as in AMQP, not by kombu's
 * regular expression, which takes \`a.#\` not to match \`a\`.
 */
import { redisScript } from '../../driver/redis-script.ts';

/**
 * KEYS bindings. ARGV routing key, envelope, separator, key prefix, suffix of the list, channel ('' none), '1' when listeners on the
 * channel mean that the exchange is a fanout. Reply: how many queues or listeners got it.
 */
export const publishScript = redisScript(`
local heard = 0
if ARGV[6] ~= '' then
  heard = redis.call('PUBLISH', ARGV[6], ARGV[2])
  if ARGV[7] == '1' and heard > 0 then return heard end
end

local function split(text, by)
  local parts, from = {}, 1
  while true do
    local at, last = string.find(text, by, from, true)
    if not at then break end
    parts[#parts + 1] = string.sub(text, from, at - 1)
    from = last + 1
  end
  parts[#parts + 1] = string.sub(text, from)
  return parts
end

local words = split(ARGV[1], '.')
local function matches(pattern, p, w)
  if p > #pattern then return w > #words end
  if pattern[p] == '#' then
    for skip = w, #words + 1 do
      if matches(pattern, p + 1, skip) then return true end
    end
    return false
  end
  if w > #words then return false end
  if pattern[p] ~= '*' and pattern[p] ~= words[w] then return false end
  return matches(pattern, p + 1, w + 1)
end

local seen = {}
for _, member in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local parts = split(member, ARGV[3])
  local key, pattern, queue = parts[1], parts[2] or '', parts[3] or ''
  local hit
  if pattern == '' then hit = key == ARGV[1] else hit = matches(split(key, '.'), 1, 1) end
  if hit and queue ~= '' and not seen[queue] then
    seen[queue] = true
    redis.call('LPUSH', ARGV[4] .. queue .. ARGV[5], ARGV[2])
    heard = heard + 1
  end
end
return heard
`);
