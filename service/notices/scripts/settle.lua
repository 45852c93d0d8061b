-- Records what became of a notice after an attempt.
-- KEYS record: the hash of its link, or of its sample
--      notices, notice_outbox
--      events: the log of its organization
-- ARGV member, local id of its link ('' for a sample), field: which of the record has its tries
--      deadline of the lease it was sent under (ms), tries: as they are from now on ('' for none)
--      reminded: when a reminder was sent (text; '' if none was), number: which one it is
--      now, retry_at: when it is tried again, next_at: when the next one is due (ms; '' for never)
--      expires, reminders: the link's fields on which next_at depends ('' for a sample or receipt)
--      the arguments of an event, if there is one
-- Returns 1, or 0 where the lease was lost. A reminder that was sent is recorded all the same, once.
local record, notices, outbox, events = unpack(KEYS)
local member, id, field, lease_deadline, tries = unpack(ARGV, 1, 5)
local reminded, number, now, retry_at, next_at, expires, reminders = unpack(ARGV, 6, 12)
local event = {unpack(ARGV, 13)}

local earlier_tries, latest_expires, latest_reminders =
  unpack(redis.call('HMGET', record, field, 'expires', 'reminders'))
if redis.call('EXISTS', record) == 0 then
  redis.call('ZREM', outbox, member)
  return 0
end
local leased_until = redis.call('ZSCORE', outbox, member)
local is_held = leased_until and tonumber(leased_until) == tonumber(lease_deadline)
local is_latest = (earlier_tries or '0'):match('%d+$') == number
if not is_held and (reminded == '' or not is_latest) then return 0 end

if reminded ~= '' then redis.call('HSET', record, 'reminded', reminded) end
if tries == '' then
  redis.call('HDEL', record, field)
else
  redis.call('HSET', record, field, tries)
end
if #event > 0 then add_event(events, now, id, event) end
if not is_held then return 0 end
if retry_at ~= '' then
  redis.call('ZADD', outbox, retry_at, member)
  return 1
end
redis.call('ZREM', outbox, member)
local is_same = latest_expires == expires and (latest_reminders or '') == reminders
if expires ~= '' and not is_same then next_at = now end -- its worker works that out
if next_at ~= '' then
  redis.call('ZADD', notices, next_at, member)
  extend_ttl(notices, redis.call('PEXPIRETIME', record))
end
return 1
