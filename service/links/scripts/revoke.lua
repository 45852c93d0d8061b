-- Revokes an active link, and takes back the e-mail it still owes.
-- KEYS link
--      org, active, revoked: its organization's indexes
--      email: its recipient's index
--      outbox, scheduled, pending_since
-- ARGV local id, now (ms), now (text), when the record goes (ms)
--      the delivery state of a link that owes no e-mail
-- Returns 1, or 0 where the link had ended before.
local link, org, active, revoked, email, outbox, scheduled, pending_since = unpack(KEYS)
local id, now, now_text, gone_at, no_delivery = unpack(ARGV)

local expires, revoked_before = unpack(redis.call('HMGET', link, 'expires', 'revoked'))
if revoked_before then redis.call('ZREM', email, id) end
if not expires or revoked_before or expires <= now_text then return 0 end

local owed = redis.call('ZREM', outbox, id) + redis.call('ZREM', scheduled, id)
redis.call('ZREM', pending_since, id)
redis.call('ZADD', revoked, now, id)
match_ttl(revoked, redis.call('PEXPIRETIME', org))
redis.call('ZREM', active, id)
redis.call('ZREM', email, id)
redis.call('HSET', link, 'revoked', now_text)
if owed > 0 then redis.call('HSET', link, 'state', no_delivery) end
redis.call('PEXPIREAT', link, gone_at)
return 1
