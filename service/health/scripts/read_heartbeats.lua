-- Reads when the processes of a type were last alive.
-- KEYS heartbeats of a type
-- Returns {{seconds, microseconds} of the store's time, {process, "when in ms, and skew of its
--      clock in ms", ...}}.
local heartbeats = KEYS[1]

return {redis.call('TIME'), redis.call('HGETALL', heartbeats)}
