-- Extends a lease on the members that are still under it.
-- KEYS outbox
-- ARGV lease deadline, new deadline (both ms), then the members
-- Returns the members that are still under it.
local outbox = KEYS[1]
local lease_deadline, new_deadline, members = ARGV[1], ARGV[2], {unpack(ARGV, 3)}

local held = {}
for _, member in ipairs(members) do
  local score = redis.call('ZSCORE', outbox, member)
  if score and tonumber(score) == tonumber(lease_deadline) then
    redis.call('ZADD', outbox, new_deadline, member)
    held[#held + 1] = member
  end
end
return held
