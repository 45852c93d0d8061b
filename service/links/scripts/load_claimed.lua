-- Reads claimed links and marks their e-mails as queued. A link that no longer exists owes none.
-- KEYS outbox, pending_since, then the links
-- ARGV the delivery states scheduled and queued, then the links' local ids
-- Returns each link's fields, names and values in turn: {} where it no longer exists, nil where its
--      key holds another type: that e-mail stays owed.
local outbox, pending_since = KEYS[1], KEYS[2]
local scheduled, queued = ARGV[1], ARGV[2]
local links, ids = {unpack(KEYS, 3)}, {unpack(ARGV, 3)}

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
    records[i] = redis.call('HGETALL', link)
  end
end
return records
