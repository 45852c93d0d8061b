-- Reads what claimed e-mails are owed; where there is no code any more, no mail is owed.
-- KEYS 1 otp_outbox  2.. otps
-- ARGV e-mails, in the order of their keys
-- Returns for each {nonce, expires_at, attempts, org_id, locale}.
local codes = {}
for i = 2, #KEYS do
  codes[i - 1] = redis.call('HMGET', KEYS[i], 'nonce', 'expires_at', 'attempts', 'org_id', 'locale')
  if redis.call('EXISTS', KEYS[i]) == 0 then redis.call('ZREM', KEYS[1], ARGV[i - 1]) end
end
return codes
