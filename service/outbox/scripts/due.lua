-- Reads what a partition owes.
-- KEYS outbox, scheduled, otp_outbox, pending_since
-- ARGV now (ms)
-- Returns {links due (0 or 1), codes due (0 or 1), unsent mails that are due, since when the oldest
--      link's is ('' for none), keys that hold another type, and are left out}.
local outbox, scheduled, otp_outbox, pending_since = unpack(KEYS)
local now = ARGV[1]

local unreadable = {}
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then unreadable[#unreadable + 1] = key end
end
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
end
local function first(key)
  local found = read('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  return found and found[2]
end

local lapsed, begun, claimed = first(outbox), first(scheduled), first(pending_since)
local oldest = ''
for _, since in pairs({lapsed, begun, claimed}) do
  if oldest == '' or tonumber(since) < tonumber(oldest) then oldest = since end
end
return {
  (lapsed or begun) and 1 or 0, first(otp_outbox) and 1 or 0,
  (read('ZCARD', outbox) or 0)
    + (read('ZCOUNT', scheduled, '-inf', now) or 0)
    + (read('ZCARD', otp_outbox) or 0),
  oldest, unreadable,
}
