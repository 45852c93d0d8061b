-- Records that a process is alive, and forgets others of its kind that have not been for long. Mends a key of another type.
-- KEYS 1 heartbeats of a kind
-- ARGV 1 process  2 skew of its clock in ms  3 for how long it is remembered, in ms
-- Returns the store's time: {seconds, microseconds}.
local heartbeats, process, skew, remembered_for = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('TYPE', heartbeats).ok ~= 'hash' then redis.call('DEL', heartbeats) end
local found = redis.call('HGETALL', heartbeats)
for i = 1, #found, 2 do
  local at = tonumber(found[i + 1]:match('^%d+ '))
  if not at or math.abs(now - at) > remembered_for then redis.call('HDEL', heartbeats, found[i]) end
end
redis.call('HSET', heartbeats, process, string.format('%.0f %s', now, skew))
redis.call('PEXPIRE', heartbeats, remembered_for)
return time
