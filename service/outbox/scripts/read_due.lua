-- Reads what is due in a partition.
-- KEYS for each queue: outbox, and, if it has them, scheduled and pending_since
-- ARGV now (ms)
--      for each queue the number of its keys, 1 to 3
-- Returns {{for each queue whether a worker can claim an e-mail, 0 or 1},
--      unsent e-mails, since when the oldest is due ('' for none), keys of another type}.
--      Only queues with pending_since count for the oldest: others forget when a claim was due.
local now, sizes = ARGV[1], {unpack(ARGV, 2)}

local unreadable = {}
for _, key in ipairs(KEYS) do
  local key_type = redis.call('TYPE', key).ok
  if key_type ~= 'zset' and key_type ~= 'none' then unreadable[#unreadable + 1] = key end
end
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
end
local function first(key)
  local found = key and read('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  return found and found[2]
end

local are_due, unsent, oldest, position = {}, 0, '', 1
for _, size in ipairs(sizes) do
  local outbox, scheduled, pending_since = unpack(KEYS, position, position + size - 1)
  position = position + size
  local due_outbox, due_scheduled = first(outbox), first(scheduled)
  are_due[#are_due + 1] = (due_outbox or due_scheduled) and 1 or 0
  unsent = unsent + (read('ZCARD', outbox) or 0)
  if scheduled then unsent = unsent + (read('ZCOUNT', scheduled, '-inf', now) or 0) end
  if pending_since then
    for _, since in pairs({due_outbox, due_scheduled, first(pending_since)}) do
      if oldest == '' or tonumber(since) < tonumber(oldest) then oldest = since end
    end
  end
end
return {are_due, unsent, oldest, unreadable}
