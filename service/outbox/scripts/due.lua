-- What a partition owes at `now`.
-- KEYS 1 outbox  2 scheduled  3 otp_outbox  4 claimed
-- ARGV 1 now
-- Returns {links due (0 or 1), codes due (0 or 1), unsent mails that are due, since when the oldest link's is ('' for none),
--          keys that hold something else, and are left out}.
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
  local found = read('ZRANGEBYSCORE', key, '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 1)
  return found and found[2]
end
local waiting, scheduled, claimed = first(KEYS[1]), first(KEYS[2]), first(KEYS[4])
local oldest = ''
for _, since in pairs({waiting, scheduled, claimed}) do
  if oldest == '' or tonumber(since) < tonumber(oldest) then oldest = since end
end
return {
  (waiting or scheduled) and 1 or 0, first(KEYS[3]) and 1 or 0,
  (read('ZCARD', KEYS[1]) or 0) + (read('ZCOUNT', KEYS[2], '-inf', ARGV[1]) or 0) + (read('ZCARD', KEYS[3]) or 0),
  oldest, unreadable,
}
