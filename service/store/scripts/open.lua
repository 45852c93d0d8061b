-- Reads claimed links and marks their e-mails as queued; what has no record any more owes none.
-- KEYS 1 outbox  2 unsent  3.. links
-- ARGV 1 number of fields  2.. fields, then the ids in the order of their keys
-- Returns for each link its fields' values in order.
local records, fields = {}, tonumber(ARGV[1])
for i = 3, #KEYS do
  local id = ARGV[fields + i - 1]
  records[i - 2] = redis.call('HMGET', KEYS[i], unpack(ARGV, 2, fields + 1))
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
  elseif redis.call('HGET', KEYS[i], 'delivery_state') == 'scheduled' then
    redis.call('HSET', KEYS[i], 'delivery_state', 'queued')
  end
end
return records
