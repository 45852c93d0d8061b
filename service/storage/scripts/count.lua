-- Counts under each key, unless one of them has reached its limit: then under none.
-- KEYS counters
-- ARGV 1 how many more (0 or 1)  2.. maximum and window in ms of each counter
-- Returns {0, 0}, or {which counter is reached (from 1), ms until it is not}: of several, the one that lasts longest.
local more = ARGV[1]
local reached, wait = 0, 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2 * i]) then
    local left = redis.call('PTTL', key)
    if reached == 0 or left > wait then reached, wait = i, left end
  end
end
if reached == 0 and more == '1' then
  for i, key in ipairs(KEYS) do count(key, ARGV[2 * i + 1]) end
end
return {reached, wait}
