-- Owes the e-mail of a code that was given up again, if the code is still outstanding.
-- KEYS otp, otp_outbox
-- ARGV e-mail, nonce, when its mail is due (ms)
-- Returns 1, or 0 where the code was used or voided, or has expired.
local otp, outbox = unpack(KEYS)
local email, nonce, at = unpack(ARGV)

if redis.call('HGET', otp, 'nonce') ~= nonce then return 0 end
redis.call('ZADD', outbox, 'NX', at, email)
match_ttl(outbox, redis.call('PEXPIRETIME', otp))
return 1
