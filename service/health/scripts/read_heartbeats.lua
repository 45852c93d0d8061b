-- Reads when the processes of a type were last alive.
-- KEYS heartbeats of a type
-- Returns {{seconds, microseconds} of the store's time, {process, "when in ms, and its state", ...}}.
local heartbeats = KEYS[1]

return {redis.call('TIME'), redis.call('HGETALL', heartbeats)}
