-- Creates a code for an e-mail; it voids the one before.
-- KEYS otp, otp_outbox
-- ARGV e-mail, nonce, now (ms), when the code expires (text), its ttl (ms)
--      organization and locale ('' for none)
-- Returns nothing.
local otp, outbox = unpack(KEYS)
local email, nonce, now, expires, ttl, org, locale = unpack(ARGV)

redis.call('DEL', otp)
redis.call('HSET', otp, 'nonce', nonce, 'expires', expires, 'tries', 0, 'attempts', 0)
if org ~= '' then redis.call('HSET', otp, 'org', org) end
if locale ~= '' then redis.call('HSET', otp, 'locale', locale) end
redis.call('PEXPIRE', otp, ttl)
redis.call('ZADD', outbox, now, email)
match_ttl(outbox, now + ttl)
