-- Revokes an active link, and takes back the e-mail it still owes.
-- KEYS link
--      org, active, revoked: its organization's indexes
--      email: its recipient's index
--      outbox, scheduled, pending_since
-- ARGV local id, now (ms), now (text), when the record goes (ms)
--      the delivery states scheduled, queued and none
-- Returns 1, or 0 where the link had ended before.
local link, org, active, revoked, email, outbox, scheduled_queue, pending_since = unpack(KEYS)
local id, now, now_text, gone_at, scheduled, queued, none = unpack(ARGV)

local expires, revoked_before, state =
  unpack(redis.call('HMGET', link, 'expires', 'revoked', 'state'))
if revoked_before then redis.call('ZREM', email, id) end
if not expires or revoked_before or expires <= now_text then return 0 end

if state == scheduled or state == queued then state = none end
redis.call('HSET', link, 'revoked', now_text, 'state', state)
redis.call('PEXPIREAT', link, gone_at)
redis.call('ZADD', revoked, now, id)
match_ttl(revoked, redis.call('PEXPIRETIME', org))
for _, index in ipairs({active, email, pending_since, outbox, scheduled_queue}) do
  redis.call('ZREM', index, id)
end
return 1
