-- Owes the e-mail of a link again, as another send.
-- KEYS link, outbox, failed
--      events: its organization's log
--      two counters: of resends
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV local id, now (ms), now (text)
--      the delivery states scheduled, queued and none
--      maximum and window (ms) of each counter
--      fingerprint, repeatable_until (ms): for save_request ('' without an idempotency key)
--      event: that it is sent again
-- Returns {'resent', sends}; or, where it changed nothing, {'earlier', sends, what find_request
--      found}, {'ended'} if the link has, {'pending'} if its e-mail is not out yet, or {'limit',
--      which counter is reached (from 1), ms until it is not}.
local link, outbox, failed, events = unpack(KEYS, 1, 4)
local counters, idempotency = {KEYS[5], KEYS[6]}, KEYS[7]
local id, now, now_text, scheduled, queued, none = unpack(ARGV, 1, 6)
local limits = {unpack(ARGV, 7, 10)}
local fingerprint, repeatable_until = unpack(ARGV, 11, 12)
local event = {unpack(ARGV, 13)}

local expires, revoked, paid, state, sends =
  unpack(redis.call('HMGET', link, 'expires', 'revoked', 'paid', 'state', 'sends'))
local earlier = idempotency and find_request(idempotency)
if earlier then return {'earlier', sends or 1, unpack(earlier)} end
if not expires or revoked or paid or expires <= now_text then return {'ended'} end
local reached, wait = find_reached(counters, limits)
if reached > 0 then return {'limit', reached, wait} end
if state == scheduled or state == queued then return {'pending'} end

sends = send_again(link, id, sends, state, none, queued, now, outbox, failed, events, event)
count_all(counters, limits)
if idempotency then save_request(idempotency, id, fingerprint, repeatable_until) end
return {'resent', sends}
