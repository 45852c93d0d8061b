-- Revokes an active link, and takes back the e-mail and the reminder that it still owes.
-- KEYS link
--      org, active, revoked: its organization's indexes
--      email: the index of its recipient, as the caller knows it
--      outbox, scheduled, pending_since, notices, notice_outbox
--      emails: what the keys of recipients' indexes begin with. They lie in the same slot; the link's
--      e-mail may have changed meanwhile.
--      events: its organization's log
--      transaction: the index of its transaction, if it has one
-- ARGV local id, now (ms), now (text), when the record goes (ms)
--      the delivery states scheduled, queued and none
--      reminder: the member of its reminder
--      event: that it is revoked
-- Returns 'revoked'; or, where it changed nothing, 'paid', or 'ended' where it had expired or was
--      revoked before.
local key, org, active, revoked, email, outbox, scheduled_queue, pending_since = unpack(KEYS, 1, 8)
local notices, notice_outbox, emails, events, transaction = unpack(KEYS, 9)
local id, now, now_text, gone_at = unpack(ARGV, 1, 4)
local states, reminder, event = {unpack(ARGV, 5, 7)}, ARGV[8], {unpack(ARGV, 9)}

local expires, revoked_before, paid, state, sends, address, recipient =
  unpack(redis.call('HMGET', key, 'expires', 'revoked', 'paid', 'state', 'sends', 'email', 'recipient'))
if paid then return 'paid' end
if revoked_before then redis.call('ZREM', email, id) end
if not expires or revoked_before or expires <= now_text then return 'ended' end

local link = {key = key, id = id, state = state, sends = sends}
revoke_link(link, now, now_text, gone_at, states, revoked, org)
local latest_email = emails .. (recipient or (address or ''):lower())
remove(id, {active, email, latest_email, outbox, scheduled_queue, pending_since, transaction})
remove(reminder, {notices, notice_outbox})
add_event(events, now, id, event)
return 'revoked'
