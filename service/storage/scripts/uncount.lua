-- Takes one count back from each counter.
-- KEYS counters
-- Returns nothing.
for _, key in ipairs(KEYS) do uncount(key) end
