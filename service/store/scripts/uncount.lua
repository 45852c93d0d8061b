-- Takes one count back.
-- KEYS 1 counter
-- Returns nothing.
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('DECR', KEYS[1]) <= 0 then redis.call('DEL', KEYS[1]) end
