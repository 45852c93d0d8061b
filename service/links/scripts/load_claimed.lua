-- Reads claimed links and marks their e-mails as queued; what has no record any more owes none.
-- KEYS 1 outbox  2 claimed  3.. links
-- ARGV local ids, in the order of their keys
-- Returns each link's record, '' where its key holds something else: that mail stays owed.
local scheduled, queued = '[' .. SCHEDULED .. ',', '[' .. QUEUED .. ',' -- how records begin; to decode them takes ten times as long
local records = redis.call('MGET', unpack(KEYS, 3))
for i, text in ipairs(records) do
  if not text and redis.call('EXISTS', KEYS[i + 2]) == 1 then
    records[i] = ''
  elseif not text then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  elseif text:sub(1, #scheduled) == scheduled then
    redis.call('SET', KEYS[i + 2], queued .. text:sub(#scheduled + 1), 'KEEPTTL')
  end
end
return records
