-- Takes one count back from each counter.
-- KEYS counters
-- Returns nothing.
local counters = KEYS

for _, counter in ipairs(counters) do uncount(counter) end
