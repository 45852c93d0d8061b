-- Prolongs a lease on the members that are still under it.
-- KEYS 1 outbox
-- ARGV 1 lease deadline  2 new deadline  3.. members
-- Returns the members that are held on to.
local held = {}
for i = 3, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[1]) then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[i])
    held[#held + 1] = ARGV[i]
  end
end
return held
