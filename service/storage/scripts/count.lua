-- Counts under each key, unless one of them has reached its limit: then under none.
-- KEYS counters
-- ARGV how many more (0 or 1), then maximum and window (ms) of each counter
-- Returns {0, 0}, or {which counter is reached (from 1), ms until it is not}: of several, the one
--      that lasts longest.
local counters, more, limits = KEYS, ARGV[1], {unpack(ARGV, 2)}

local reached, wait = find_reached(counters, limits)
if reached == 0 and more == '1' then count_all(counters, limits) end
return {reached, wait}
