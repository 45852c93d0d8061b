-- Takes due mails under a lease: scheduled ones first, then those whose moment in the outbox has come.
-- KEYS 1 outbox  2 scheduled (links only)
-- ARGV 1 now  2 lease deadline  3 limit  4 outbox until ('' for none of it)  5 scheduled from  6 scheduled before
-- Returns the claimed members.
local claimed = {}
if KEYS[2] then
  claimed = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[5], '(' .. ARGV[6], 'LIMIT', 0, ARGV[3])
end
local keep_until
if #claimed > 0 then
  keep_until = tonumber(ARGV[1]) + redis.call('PTTL', KEYS[2])
  redis.call('ZREM', KEYS[2], unpack(claimed))
end
if ARGV[4] ~= '' and #claimed < tonumber(ARGV[3]) then
  local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[4], 'LIMIT', 0, tonumber(ARGV[3]) - #claimed)
  for _, member in ipairs(lapsed) do claimed[#claimed + 1] = member end
end
for _, member in ipairs(claimed) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
if keep_until then keep(KEYS[1], keep_until) end
return claimed
