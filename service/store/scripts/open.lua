-- Reads claimed links and marks their e-mails as queued; what has no record any more owes none.
-- KEYS 1 outbox  2 claimed  3.. links
-- ARGV ids, in the order of their keys
-- Returns each link's record.
local records = redis.call('MGET', unpack(KEYS, 3))
for i, text in ipairs(records) do
  if not text then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  else
    local link = cjson.decode(text)
    if link[STATE] == 'scheduled' then
      write(KEYS[i + 2], link, {[STATE] = 'queued'})
    end
  end
end
return records
