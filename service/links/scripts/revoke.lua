-- Revokes an active link, and takes back the e-mail it still owes.
-- KEYS 1 link  2 active  3 revoked  4 email  5 claimed  6 outbox  7 scheduled  8 org
-- ARGV 1 local id  2 now  3 gone_at  4 expires_at
-- Returns 1, or 0 where the link had ended before.
local text = redis.call('GET', KEYS[1])
if not text then return 0 end
local link = cjson.decode(text)
local is_revoked = field(link, REVOKED_AT)
if is_revoked then redis.call('ZREM', KEYS[4], ARGV[1]) end
if is_revoked or tonumber(ARGV[4]) <= tonumber(ARGV[2]) then return 0 end
local owes = link[STATE] == SCHEDULED or link[STATE] == QUEUED
write(KEYS[1], link, {[STATE] = owes and NONE or link[STATE], [REVOKED_AT] = since_created(link, ARGV[2])})
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
keep_as_long(KEYS[3], KEYS[8])
for _, key in ipairs({KEYS[2], KEYS[4], KEYS[5], KEYS[6], KEYS[7]}) do
  redis.call('ZREM', key, ARGV[1])
end
return 1
