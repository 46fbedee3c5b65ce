/** Empties the lists of a queue, unless somebody else's data has the name of one: a key that is no list. */
import { redisScript } from '../../driver/redis-script.ts';

/** KEYS lists. Reply: how many elements there were, or the key that is none, as text. */
export const purgeScript = redisScript(`
local count = 0
for _, list in ipairs(KEYS) do
  local type = redis.call('TYPE', list).ok
  if type ~= 'list' and type ~= 'none' then return list end
  count = count + redis.call('LLEN', list)
end
for _, list in ipairs(KEYS) do redis.call('DEL', list) end
return count
`);
