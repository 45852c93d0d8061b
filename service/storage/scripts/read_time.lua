-- Reads the store's time.
-- KEYS any key of the slot that is asked
-- Returns {seconds, microseconds}.
return redis.call('TIME')
