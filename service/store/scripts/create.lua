-- A new link: its record, its indexes, and the e-mail it owes.
-- KEYS 1 link  2 org  3 active  4 revoked  5 email  6 unsent  7 the queue that owes its e-mail  8 the other of outbox and scheduled
-- ARGV 1 id  2 created_at  3 expires_at  4 gone_at  5 owes ('mail' or '')  6 due_at  7 forget_before  8.. field, value
-- Returns 1, or 0 where the id exists already and nothing was changed.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local id, gone_at = ARGV[1], ARGV[4]
redis.call('HSET', KEYS[1], unpack(ARGV, 8))
redis.call('PEXPIREAT', KEYS[1], gone_at)
redis.call('ZREM', KEYS[4], id) -- where a link of the same id was revoked, and is gone
redis.call('ZADD', KEYS[2], ARGV[2], id)
redis.call('ZADD', KEYS[3], ARGV[3], id)
redis.call('ZADD', KEYS[5], ARGV[3], id)
keep(KEYS[2], gone_at)
keep_as_long(KEYS[3], KEYS[2])
keep_as_long(KEYS[4], KEYS[2])
keep(KEYS[5], gone_at)
if ARGV[5] == 'mail' then
  redis.call('ZADD', KEYS[6], ARGV[6], id)
  redis.call('ZADD', KEYS[7], ARGV[6], id)
  keep(KEYS[6], gone_at)
  keep_as_long(KEYS[7], KEYS[6])
  keep_as_long(KEYS[8], KEYS[6])
end
forget(KEYS[3], ARGV[7], KEYS[2])
forget(KEYS[4], ARGV[7], KEYS[2])
forget(KEYS[5], ARGV[7])
return 1
