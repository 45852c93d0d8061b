-- Owes a notice that was given up again.
-- KEYS record: the hash of its link, or of its sample
--      notices
-- ARGV member, field: which of the record has its tries, tries: as giving it up left them, earlier:
--      the ones before ('' for none), when it is due (ms)
-- Returns 1, or 0 where another notice has taken its place, or what it is about is gone.
local record, notices = unpack(KEYS)
local member, field, tries, earlier, at = unpack(ARGV)

local latest = redis.call('HGET', record, field) or ''
if redis.call('EXISTS', record) == 0 or latest ~= tries then return 0 end
if earlier == '' then
  redis.call('HDEL', record, field)
else
  redis.call('HSET', record, field, earlier)
end
redis.call('ZADD', notices, at, member)
extend_ttl(notices, redis.call('PEXPIRETIME', record))
return 1
