-- Revokes an active link, and takes back the e-mail it still owes.
-- KEYS 1 link  2 active  3 revoked  4 email  5 unsent  6 outbox  7 scheduled  8 org
-- ARGV 1 id  2 now  3 gone_at
-- Returns 1, or 0 where the link had ended before.
local record = redis.call('HMGET', KEYS[1], 'expires_at', 'revoked_at', 'delivery_state')
if not record[1] or record[2] or tonumber(record[1]) <= tonumber(ARGV[2]) then
  if record[2] then redis.call('ZREM', KEYS[4], ARGV[1]) end
  return 0
end
redis.call('HSET', KEYS[1], 'revoked_at', ARGV[2])
if record[3] == 'scheduled' or record[3] == 'queued' then
  redis.call('HSET', KEYS[1], 'delivery_state', 'none')
end
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
keep_as_long(KEYS[3], KEYS[8])
for _, key in ipairs({KEYS[2], KEYS[4], KEYS[5], KEYS[6], KEYS[7]}) do
  redis.call('ZREM', key, ARGV[1])
end
return 1
