-- Counts under each key, unless one of them has reached its limit: then under none.
-- KEYS counters
-- ARGV how many more (0 or 1), then maximum and window (ms) of each counter
-- Returns {0, 0}, or {which counter is reached (from 1), ms until it is not}: of several, the one
--      that lasts longest.
local counters, more, limits = KEYS, ARGV[1], {unpack(ARGV, 2)}

local reached, wait = 0, 0
for i, counter in ipairs(counters) do
  if tonumber(redis.call('GET', counter) or '0') >= tonumber(limits[2 * i - 1]) then
    local left = redis.call('PTTL', counter)
    if reached == 0 or left > wait then reached, wait = i, left end
  end
end
if reached == 0 and more == '1' then
  for i, counter in ipairs(counters) do count(counter, limits[2 * i]) end
end
return {reached, wait}
