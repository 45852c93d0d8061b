-- Uses up a code that was compared and found right, and takes its try back.
-- KEYS 1 otp  2 failures of the e-mail today  3 those of them that one client network had  4 verified  5 otp_outbox
-- ARGV 1 e-mail  2 nonce  3 now  4 verified until
-- Returns 1, or 0 where somebody else was first.
local otp, failures, of_network, verified, outbox = unpack(KEYS)
local email, nonce, now, verified_until = unpack(ARGV)
if redis.call('HGET', otp, 'nonce') ~= nonce then return 0 end
redis.call('DEL', otp)
uncount(failures)
uncount(of_network)
redis.call('ZREMRANGEBYSCORE', verified, '-inf', now)
redis.call('ZADD', verified, verified_until, nonce)
redis.call('PEXPIREAT', verified, verified_until)
redis.call('ZREM', outbox, email)
return 1
