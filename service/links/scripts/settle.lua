-- Records what became of a link's e-mail after an attempt. Once it is sent, the link's reminders
-- begin, unless they have begun before.
-- KEYS link, outbox, pending_since, failed
--      events: its organization's log
--      notices, notice_outbox: where its reminder is owed
-- ARGV local id, sends: of the e-mail that was attempted ('' where only the lease tells)
--      delivery state, attempts made, how many of them are unconfirmed
--      deadline of the lease it was sent under (ms; '' for any)
--      sent: when it was sent (text; '' if it was not), problem: why it was not
--      retry_at: when it is tried again (ms; '' for never)
--      now (ms; '' where it is tried again)
--      retention: for how long a failure is remembered (ms; '' if it has not failed for good)
--      expires, reminders: these fields when it was composed ('' for none)
--      reminder: the member of its reminder, remind_at: when it is due (ms; '' for none), default:
--      the reminders of a link that has none of its own ('' for none)
--      the arguments of an event, if there is one
-- Returns 1, or 0 where the e-mail was not owed any more, or is another's to send (one that was
--      sent is recorded all the same, unless another was asked for meanwhile).
local link, outbox, pending_since, failed, events, notices, notice_outbox = unpack(KEYS)
local id, sends, state, attempts, unconfirmed, lease_deadline = unpack(ARGV, 1, 6)
local sent, problem, retry_at, now, retention = unpack(ARGV, 7, 11)
local expires, reminders, reminder, remind_at, default = unpack(ARGV, 12, 16)
local event = {unpack(ARGV, 17)}

local function finish()
  redis.call('ZREM', outbox, id)
  redis.pcall('ZREM', pending_since, id)
end

local before, earlier_problem, latest_sends, earlier_sent, first =
  unpack(redis.call('HMGET', link, 'state', 'error', 'sends', 'sent', 'first'))
if not before then
  finish()
  return 0
end
if sends ~= '' and sends ~= (latest_sends or '1') then return 0 end
local leased_until = redis.call('ZSCORE', outbox, id)
local is_held = leased_until
  and (lease_deadline == '' or tonumber(leased_until) == tonumber(lease_deadline))
if not is_held and sent == '' then return 0 end

local function begin_reminders()
  local latest_expires, latest_reminders, paid, revoked, unsubscribed =
    unpack(redis.call('HMGET', link, 'expires', 'reminders', 'paid', 'revoked', 'unsubscribed'))
  if paid or revoked or unsubscribed then return end
  if not latest_reminders and default ~= '' then redis.call('HSET', link, 'reminders', default) end
  if redis.call('ZSCORE', notices, reminder) or redis.call('ZSCORE', notice_outbox, reminder) then
    return
  end
  local is_same = latest_expires == expires and (latest_reminders or '') == reminders
  local due_at = is_same and remind_at or now -- the worker that claims it works out when it is due
  if due_at ~= '' then
    redis.call('ZADD', notices, due_at, reminder)
    extend_ttl(notices, redis.call('PEXPIRETIME', link))
  end
end

redis.call('HINCRBY', link, 'attempts', attempts)
if unconfirmed ~= '0' then redis.call('HINCRBY', link, 'unconfirmed', unconfirmed) end
if sent == '' then
  redis.call('HSET', link, 'state', state, 'error', problem)
else
  if earlier_sent and not first then redis.call('HSET', link, 'first', earlier_sent) end
  redis.call('HSET', link, 'state', state, 'sent', sent)
  if earlier_problem then redis.call('HDEL', link, 'error', 'unconfirmed') end
end
if retry_at == '' then
  redis.call('HDEL', link, 'retry')
  finish()
else
  redis.call('ZADD', outbox, retry_at, id)
  redis.call('HSET', link, 'retry', retry_at)
end
-- The mail is settled: what follows may fail on a key of another type.
if retention ~= '' then
  local ended_at = redis.call('PEXPIRETIME', link) - retention
  local failed_at = math.min(now, ended_at) -- so that it is forgotten before the link
  redis.call('ZADD', failed, string.format('%.0f', failed_at), id)
  match_ttl(failed, now + retention)
  prune(failed, string.format('%.0f', now - retention))
elseif earlier_problem then
  redis.pcall('ZREM', failed, id)
end
if #event > 0 and before ~= state then add_event(events, now, id, event) end
if sent ~= '' then begin_reminders() end
return leased_until and 1 or 0
