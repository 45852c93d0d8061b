-- Takes due mails under a lease: scheduled ones first, then those whose moment in the outbox has come, which half of the limit is
-- kept for.
-- KEYS 1 outbox  2 scheduled (links only)  3 claimed (links only, and only under a lease)
-- ARGV 1 now  2 lease deadline ('' for none: whoever is next may have them)  3 limit  4 outbox until ('' for none of it)
--      5 scheduled from  6 scheduled before
-- Returns the claimed members. A scheduled or claimed set that holds something else keeps nobody from the outbox.
local limit = tonumber(ARGV[3])
local function due(key, from, to)
  local found = redis.pcall('ZRANGEBYSCORE', key, from, to, 'WITHSCORES', 'LIMIT', 0, limit)
  return found.err and {} or found
end
local lapsed = ARGV[4] == '' and {} or due(KEYS[1], '-inf', ARGV[4])
local scheduled = KEYS[2] and due(KEYS[2], ARGV[5], '(' .. ARGV[6]) or {}
local of_scheduled = math.min(#scheduled / 2, math.max(math.ceil(limit / 2), limit - #lapsed / 2))
local of_lapsed = math.min(#lapsed / 2, limit - of_scheduled)
if of_scheduled + of_lapsed == 0 then return {} end

local claimed, leases, since = {}, {}, {}
local function take(found, count)
  for i = 1, 2 * count, 2 do
    local member, owed_since = found[i], found[i + 1]
    if tonumber(owed_since) > tonumber(ARGV[1]) then owed_since = ARGV[1] end
    claimed[#claimed + 1] = member
    leases[#leases + 1] = ARGV[2] == '' and owed_since or ARGV[2]
    leases[#leases + 1] = member
    since[#since + 1] = owed_since
    since[#since + 1] = member
  end
end
take(scheduled, of_scheduled)
take(lapsed, of_lapsed)
redis.call('ZADD', KEYS[1], unpack(leases))
if of_scheduled > 0 then
  keep_as_long(KEYS[1], KEYS[2])
  redis.call('ZREM', KEYS[2], unpack(claimed, 1, of_scheduled))
end
if KEYS[3] then
  redis.pcall('ZADD', KEYS[3], 'NX', unpack(since))
  keep_as_long(KEYS[3], KEYS[1])
end
return claimed
