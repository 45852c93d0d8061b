-- What a partition owes at `now`.
-- KEYS 1 outbox  2 scheduled  3 otp_outbox  4 unsent
-- ARGV 1 now
-- Returns {links due (0 or 1), codes due (0 or 1), unsent mails that are due, since when the oldest link's is ('' for none)}.
local function due(key)
  return #redis.call('ZRANGEBYSCORE', key, '-inf', ARGV[1], 'LIMIT', 0, 1)
end
local oldest = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 1)
return {
  math.max(due(KEYS[1]), due(KEYS[2])), due(KEYS[3]),
  redis.call('ZCOUNT', KEYS[4], '-inf', ARGV[1]) + redis.call('ZCARD', KEYS[3]), oldest[2] or '',
}
