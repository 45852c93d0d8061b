-- Records what became of a code's e-mail after an attempt, unless a new code voided it meanwhile.
-- KEYS otp, otp_outbox
-- ARGV e-mail, deadline of the lease it was sent under (ms)
--      retry_at: when it is tried again (ms; '' for never), attempts made
-- Returns 1, or 0 where the lease was lost.
local otp, outbox = unpack(KEYS)
local email, lease_deadline, retry_at, attempts = unpack(ARGV)

local leased_until = redis.call('ZSCORE', outbox, email)
if not leased_until or tonumber(leased_until) ~= tonumber(lease_deadline) then return 0 end
if redis.call('EXISTS', otp) == 1 then redis.call('HINCRBY', otp, 'attempts', attempts) end
if retry_at == '' then
  redis.call('ZREM', outbox, email)
else
  redis.call('ZADD', outbox, retry_at, email)
end
return 1
