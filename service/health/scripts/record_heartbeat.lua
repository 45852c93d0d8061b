-- Records that a process is alive, and forgets others of its type that have not been for long.
-- Replaces a key of another type.
-- KEYS heartbeats of a type
-- ARGV process, its state, for how long it is remembered (ms)
-- Returns the store's time: {seconds, microseconds}.
local heartbeats = KEYS[1]
local process, state, remembered_for = unpack(ARGV)
remembered_for = tonumber(remembered_for)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('TYPE', heartbeats).ok ~= 'hash' then redis.call('DEL', heartbeats) end
local found = redis.call('HGETALL', heartbeats)
for i = 1, #found, 2 do
  local at = tonumber(found[i + 1]:match('^%d+ '))
  if not at or math.abs(now - at) > remembered_for then redis.call('HDEL', heartbeats, found[i]) end
end
redis.call('HSET', heartbeats, process, string.format('%.0f %s', now, state))
redis.call('PEXPIRE', heartbeats, remembered_for)
return time
