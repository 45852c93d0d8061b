-- Uses up a code that was compared and found right.
-- KEYS 1 otp  2 failures_day  3 verified  4 otp_outbox
-- ARGV 1 e-mail  2 nonce  3 now  4 verified until
-- Returns 1, or 0 where somebody else was first.
if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('DECR', KEYS[2]) <= 0 then redis.call('DEL', KEYS[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
redis.call('PEXPIREAT', KEYS[3], ARGV[4])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
