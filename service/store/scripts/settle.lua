-- What became of a link's e-mail after a try.
-- KEYS 1 link  2 outbox  3 unsent
-- ARGV 1 id  2 state ('sent', 'failed', or 'queued' for another try)  3 attempts made  4 sent_at  5 error  6 next look
--      7 deadline of the lease under which it was tried ('' for whichever)
-- Returns 1, or 0 where the mail was not owed any more, or is another's to send (one that went out is marked sent all the same).
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
local owed = redis.call('ZSCORE', KEYS[2], ARGV[1])
local held = owed and (ARGV[7] == '' or tonumber(owed) == tonumber(ARGV[7]))
if not held and ARGV[2] ~= 'sent' then return 0 end
redis.call('HINCRBY', KEYS[1], 'delivery_attempts', ARGV[3])
redis.call('HSET', KEYS[1], 'delivery_state', ARGV[2])
if ARGV[2] == 'sent' then
  redis.call('HSET', KEYS[1], 'delivery_sent_at', ARGV[4])
  redis.call('HDEL', KEYS[1], 'delivery_error')
else
  redis.call('HSET', KEYS[1], 'delivery_error', ARGV[5])
end
if ARGV[2] == 'queued' then
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return owed and 1 or 0
