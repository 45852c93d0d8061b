-- Owes the e-mail of a link again that was given up.
-- KEYS link, outbox, failed
-- ARGV local id, when it is due (ms), when it is due (text), the delivery states failed and queued
-- Returns 1, or 0 where it is not given up any more, or the link has ended by then.
local link, outbox, failed_index = unpack(KEYS)
local id, at, at_text, failed, queued = unpack(ARGV)

local expires, revoked, paid, state =
  unpack(redis.call('HMGET', link, 'expires', 'revoked', 'paid', 'state'))
if state ~= failed or revoked or paid or expires <= at_text then return 0 end
queue_again(link, id, queued, at, outbox, failed_index)
redis.call('HSET', link, 'retry', at)
return 1
