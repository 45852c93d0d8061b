-- Reads when the processes of a kind were last alive.
-- KEYS heartbeats of a kind
-- Returns {{seconds, microseconds} of the store's time, {process, "when in ms, and skew of its
--      clock in ms", ...}}.
local heartbeats = KEYS[1]

return {redis.call('TIME'), redis.call('HGETALL', heartbeats)}
