/**
 * The one step in which messages leave their queues: from the lists into `unacked` and its index.
 *
 * An element that is no JSON object never gets into `unacked`, where it would end every Python worker that sweeps it; it goes to a list
 * of rejected elements and is named in the reply.
 *
 * Scores are whole seconds, rounded up: Redis writes and reads those several times faster than fractions, a quarter of its time here.
 *
 * Keys of another type and a server without cjson (a Debian package without lua-cjson) show before anything is taken: Redis does not take back
 * what a script has done.
 *
 * The key in `unacked` is a tag of our own and not the message's delivery tag: one that was delivered before (lease lost, same
 * envelope in two queues) must not be acknowledged by the wrong holder. Exchange and routing key are written as '' and the queue's
 * name, so that whoever restores it, kombu included, puts it back where it came from and nowhere else.
 */
import { redisScript } from '../../driver/redis-script.ts';

/** Elements kept in a list of rejected ones. */
export const mostRejected = 10_000;

/**
 * KEYS unacked, index, workers; then the lists: step by step, in a step queue by queue; then the rejected lists, one per queue.
 * ARGV worker id, first sequence number, room, queues, steps, '1' to share the room among the queues, '1' when RPOP takes a count,
 * then the name of each queue as JSON.
 * A list that cannot be popped (it is none, or not ours to read) does not keep the others from being read; its error is the reply when there is
 * nothing else to say.
 * Reply: -1 when the worker's lease has ended; else a flat list of pairs (list number from 1, text); negative: text was rejected.
 */
export const reserveScript = redisScript(`
local decode = cjson.decode
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local id, seq, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local queues, steps = tonumber(ARGV[4]), tonumber(ARGV[5])
local lease = redis.call('ZSCORE', KEYS[3], id)
if not lease or tonumber(lease) < now then return -1 end

local failure
local function try(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  failure = redis.error_reply(reply.err .. ' (key ' .. key .. ')')
end
try('HDEL', KEYS[1], '')
if not failure then try('ZREM', KEYS[2], '') end
if failure then return failure end
local function take(list, count)
  if ARGV[7] == '1' then return try('RPOP', KEYS[3 + list], count) or {} end
  local found = {}
  for i = 1, count do
    local text = try('RPOP', KEYS[3 + list])
    if not text then break end
    found[i] = text
  end
  return found
end

local function valid(text)
  if string.byte(text, 1) ~= 123 then return false end
  if string.find(string.sub(text, -120), '"delivery_tag": ?"[^"\\\\]+"}}$') then return true end
  local ok, value = pcall(decode, text)
  return ok and type(value) == 'table'
end

local out, hash, index, left = {}, {}, {}, room
local score = string.format('%.0f', math.ceil(now))
local function keep(list, queue, text)
  if valid(text) then
    local tag = id .. '.' .. seq
    seq = seq + 1
    hash[#hash + 1] = tag
    hash[#hash + 1] = '[' .. text .. ',"",' .. ARGV[7 + queue] .. ']'
    index[#index + 1] = score
    index[#index + 1] = tag
    out[#out + 1] = list
  else
    local rejected = KEYS[3 + queues * steps + queue]
    redis.call('LPUSH', rejected, text)
    redis.call('LTRIM', rejected, 0, ${mostRejected - 1})
    out[#out + 1] = -list
  end
  out[#out + 1] = text
end

for step = 0, steps - 1 do
  if left <= 0 then break end
  local share = left
  if ARGV[6] == '1' then share = math.ceil(left / queues) end
  local found, longest = {}, 0
  for queue = 1, queues do
    local count = math.min(share, left)
    local texts = {}
    if count > 0 then texts = take(step * queues + queue, count) end
    left = left - #texts
    found[queue] = texts
  end
  for queue = 1, queues do
    if left > 0 and share < room and #found[queue] == share then
      local more = take(step * queues + queue, left)
      left = left - #more
      for i = 1, #more do table.insert(found[queue], more[i]) end
    end
    if #found[queue] > longest then longest = #found[queue] end
  end
  for at = 1, longest do
    for queue = 1, queues do
      local text = found[queue][at]
      if text then keep(step * queues + queue, queue, text) end
    end
  end
end
if #hash > 0 then
  redis.call('HSET', KEYS[1], unpack(hash))
  redis.call('ZADD', KEYS[2], unpack(index))
end
return failure and #out == 0 and failure or out
`);
