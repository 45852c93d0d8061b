-- Reads claimed links and marks their e-mails as queued. A link that no longer exists owes none.
-- KEYS outbox, pending_since, then the links
-- ARGV the delivery states scheduled and queued, then the links' local ids, then the fields to read
-- Returns the values of each link's fields: {} where it no longer exists, nil where its key holds
--      another type: that e-mail stays owed.
local outbox, pending_since = KEYS[1], KEYS[2]
local scheduled, queued = ARGV[1], ARGV[2]
local links, ids = {unpack(KEYS, 3)}, {unpack(ARGV, 3, #KEYS)}
local fields = {unpack(ARGV, #KEYS + 1)}

local records = {}
for i, link in ipairs(links) do
  local state = redis.pcall('HGET', link, 'state')
  if type(state) == 'table' then
    records[i] = false
  elseif not state and redis.call('EXISTS', link) == 0 then
    redis.call('ZREM', outbox, ids[i])
    redis.call('ZREM', pending_since, ids[i])
    records[i] = {}
  else
    if state == scheduled then redis.call('HSET', link, 'state', queued) end
    records[i] = redis.call('HMGET', link, unpack(fields))
  end
end
return records
