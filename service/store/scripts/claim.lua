-- Takes due mails under a lease: scheduled ones first, then those whose moment in the outbox has come, which half of the limit is
-- kept for.
-- KEYS 1 outbox  2 scheduled (links only)
-- ARGV 1 now  2 lease deadline  3 limit  4 outbox until ('' for none of it)  5 scheduled from  6 scheduled before
-- Returns the claimed members.
local limit = tonumber(ARGV[3])
local lapsed, scheduled = {}, {}
if ARGV[4] ~= '' then lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[4], 'LIMIT', 0, limit) end
if KEYS[2] then
  scheduled = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[5], '(' .. ARGV[6], 'LIMIT', 0, limit)
end
local of_scheduled = math.min(#scheduled, math.max(math.ceil(limit / 2), limit - #lapsed))
local claimed = {unpack(scheduled, 1, of_scheduled)}
if #claimed > 0 then
  for _, member in ipairs(claimed) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
  keep_as_long(KEYS[1], KEYS[2])
  redis.call('ZREM', KEYS[2], unpack(claimed))
end
for i = 1, math.min(#lapsed, limit - #claimed) do
  redis.call('ZADD', KEYS[1], ARGV[2], lapsed[i])
  claimed[#claimed + 1] = lapsed[i]
end
return claimed
