-- Records what became of a code's e-mail after an attempt, unless a new code voided it meanwhile.
-- KEYS otp, otp_outbox
-- ARGV e-mail, nonce, deadline of the lease it was sent under (ms; '' for any)
--      retry_at: when it is tried again (ms; '' for never)
--      attempts made, how many of them are unconfirmed
-- Returns 1, or 0 where the lease was lost.
local otp, outbox = unpack(KEYS)
local email, nonce, lease_deadline, retry_at, attempts, unconfirmed = unpack(ARGV)

local leased_until = redis.call('ZSCORE', outbox, email)
local stored_nonce = redis.call('HGET', otp, 'nonce')
local is_held = leased_until
  and (lease_deadline == '' or tonumber(leased_until) == tonumber(lease_deadline))
if not is_held or (stored_nonce and stored_nonce ~= nonce) then return 0 end
if stored_nonce then
  redis.call('HINCRBY', otp, 'attempts', attempts)
  if unconfirmed ~= '0' then redis.call('HINCRBY', otp, 'unconfirmed', unconfirmed) end
end
if retry_at == '' then
  redis.call('ZREM', outbox, email)
else
  redis.call('ZADD', outbox, retry_at, email)
end
return 1
