-- Records what became of a link's e-mail after an attempt.
-- KEYS link, outbox, pending_since, failed
-- ARGV local id, delivery state, attempts made
--      deadline of the lease it was sent under (ms; '' for any)
--      sent: when it was sent (text; '' if it was not), problem: why it was not
--      retry_at: when it is tried again (ms; '' for never)
--      now, retention: for how long a failure is remembered (ms; '' if it has not failed for good)
-- Returns 1, or 0 where the e-mail was not owed any more, or is another's to send (one that was
--      sent is recorded all the same).
local link, outbox, pending_since, failed = unpack(KEYS)
local id, state, attempts, lease_deadline, sent, problem, retry_at, now, retention = unpack(ARGV)

local function finish()
  redis.call('ZREM', outbox, id)
  redis.call('ZREM', pending_since, id)
end

local before, earlier_problem = unpack(redis.call('HMGET', link, 'state', 'error'))
if not before then
  finish()
  return 0
end
local leased_until = redis.call('ZSCORE', outbox, id)
local is_held = leased_until
  and (lease_deadline == '' or tonumber(leased_until) == tonumber(lease_deadline))
if not is_held and sent == '' then return 0 end

if retention ~= '' then
  local ended_at = redis.call('PEXPIRETIME', link) - retention
  local failed_at = math.min(now, ended_at) -- so that it is forgotten before the link
  redis.call('ZADD', failed, string.format('%.0f', failed_at), id)
  match_ttl(failed, now + retention)
  prune(failed, string.format('%.0f', now - retention))
elseif earlier_problem then
  redis.call('ZREM', failed, id)
end
redis.call('HINCRBY', link, 'attempts', attempts)
if sent == '' then
  redis.call('HSET', link, 'state', state, 'error', problem)
else
  redis.call('HSET', link, 'state', state, 'sent', sent)
  if earlier_problem then redis.call('HDEL', link, 'error') end
end
if retry_at == '' then finish() else redis.call('ZADD', outbox, retry_at, id) end
return leased_until and 1 or 0
