-- What became of a code's e-mail after a try, unless another code was asked for meanwhile.
-- KEYS 1 otp  2 otp_outbox
-- ARGV 1 e-mail  2 lease deadline  3 next look ('' for none)  4 attempts made
-- Returns 1, or 0 where the lease was lost.
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'attempts', ARGV[4]) end
if ARGV[3] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1]) end
return 1
