-- Reads what claimed e-mails are owed; where there is no code any more, no mail is owed.
-- KEYS 1 otp_outbox  2.. otps
-- ARGV e-mails, in the order of their keys
-- Returns for each {nonce, expires_at, attempts, org_id, locale}, or {} where its key holds something else: that mail stays owed.
local codes = {}
for i = 2, #KEYS do
  local code = redis.pcall('HMGET', KEYS[i], 'nonce', 'expires_at', 'attempts', 'org_id', 'locale')
  codes[i - 1] = code.err and {} or code
  if redis.call('EXISTS', KEYS[i]) == 0 then redis.call('ZREM', KEYS[1], ARGV[i - 1]) end
end
return codes
