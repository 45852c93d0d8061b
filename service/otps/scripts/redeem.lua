-- Uses up a code that was compared and found right, and takes its try back.
-- KEYS otp
--      failures of the e-mail today, of_network: those of them that one client network had
--      verified, otp_outbox
-- ARGV e-mail, nonce, now (ms), verified until (ms)
-- Returns 1, or 0 where another request was first.
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
