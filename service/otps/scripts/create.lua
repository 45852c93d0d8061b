-- A new code for an e-mail; it voids the one before.
-- KEYS 1 otp  2 otp_outbox
-- ARGV 1 e-mail  2 nonce  3 now  4 ttl  5 org_id ('' for none)  6 locale ('' for none)
-- Returns nothing.
local otp, outbox = KEYS[1], KEYS[2]
local email, nonce, now, ttl, org_id, locale = unpack(ARGV)
local expires_at = string.format('%.0f', tonumber(now) + tonumber(ttl))
redis.call('DEL', otp)
redis.call('HSET', otp, 'nonce', nonce, 'expires_at', expires_at, 'tries', 0, 'attempts', 0)
if org_id ~= '' then redis.call('HSET', otp, 'org_id', org_id) end
if locale ~= '' then redis.call('HSET', otp, 'locale', locale) end
redis.call('PEXPIRE', otp, ttl)
redis.call('ZADD', outbox, now, email)
keep(outbox, expires_at)
