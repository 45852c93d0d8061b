-- Counts one of a client's doings, if its limit allows.
-- KEYS 1 counter
-- ARGV 1 most  2 window in ms
-- Returns 0, or ms until the limit is not reached.
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return redis.call('PTTL', KEYS[1]) end
count(KEYS[1], ARGV[2])
return 0
