-- Reads what claimed e-mails are owed. Where there is no code any more, no mail is owed.
-- KEYS otp_outbox, then the codes
-- ARGV e-mails, in the order of their codes
-- Returns {nonce, expires, attempts, org, locale, unconfirmed} of each, or {} where its key holds
--      another type: that mail stays owed.
local outbox, emails, otps = KEYS[1], ARGV, {unpack(KEYS, 2)}

local found = {}
for i, otp in ipairs(otps) do
  local code = redis.pcall(
    'HMGET', otp, 'nonce', 'expires', 'attempts', 'org', 'locale', 'unconfirmed'
  )
  found[i] = code.err and {} or code
  if redis.call('EXISTS', otp) == 0 then redis.call('ZREM', outbox, emails[i]) end
end
return found
