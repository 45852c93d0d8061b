-- What a partition owes at `now`.
-- KEYS 1 outbox  2 scheduled  3 otp_outbox  4 claimed
-- ARGV 1 now
-- Returns {links due (0 or 1), codes due (0 or 1), unsent mails that are due, since when the oldest link's is ('' for none)}.

local function first(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 1)[2]
end
local waiting, scheduled, claimed = first(KEYS[1]), first(KEYS[2]), first(KEYS[4])
local oldest = ''
for _, since in pairs({waiting, scheduled, claimed}) do
  if oldest == '' or tonumber(since) < tonumber(oldest) then oldest = since end
end
return {
  (waiting or scheduled) and 1 or 0, first(KEYS[3]) and 1 or 0,
  redis.call('ZCARD', KEYS[1]) + redis.call('ZCOUNT', KEYS[2], '-inf', ARGV[1]) + redis.call('ZCARD', KEYS[3]), oldest,
}
