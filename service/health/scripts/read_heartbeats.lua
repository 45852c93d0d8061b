-- When the processes of a kind were last alive.
-- KEYS 1 heartbeats of a kind
-- Returns {{seconds, microseconds} of the store's time, {process, "when in ms, and skew of its clock in ms", ...}}.
return {redis.call('TIME'), redis.call('HGETALL', KEYS[1])}
