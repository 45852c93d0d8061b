-- Takes due e-mails under a lease: scheduled ones first, then those whose moment in the outbox has
-- come, which half of the limit is kept for.
-- KEYS outbox
--      scheduled: of links only
--      pending_since: of links only, and only under a lease
-- ARGV now, lease deadline ('' for none: the next claim may take them) (ms)
--      limit
--      outbox_until: up to when those of the outbox are due ('' for none of them)
--      scheduled_from, scheduled_before: when those scheduled are due (ms)
-- Returns the claimed members. Where scheduled or pending_since holds another type, the outbox is
--      claimed all the same.
local outbox, scheduled, pending_since = unpack(KEYS)
local now, deadline, limit, outbox_until, scheduled_from, scheduled_before = unpack(ARGV)
limit = tonumber(limit)

local function find_due(key, from, to)
  local found = redis.pcall('ZRANGEBYSCORE', key, from, to, 'WITHSCORES', 'LIMIT', 0, limit)
  return found.err and {} or found
end

local lapsed = outbox_until == '' and {} or find_due(outbox, '-inf', outbox_until)
local begun = scheduled and find_due(scheduled, scheduled_from, '(' .. scheduled_before) or {}
local begun_count = math.min(#begun / 2, math.max(math.ceil(limit / 2), limit - #lapsed / 2))
local lapsed_count = math.min(#lapsed / 2, limit - begun_count)
if begun_count + lapsed_count == 0 then return {} end

local claimed, leases, since = {}, {}, {}
local function take(found, count)
  for i = 1, 2 * count, 2 do
    local member, owed_since = found[i], found[i + 1]
    if tonumber(owed_since) > tonumber(now) then owed_since = now end
    claimed[#claimed + 1] = member
    leases[#leases + 1] = deadline == '' and owed_since or deadline
    leases[#leases + 1] = member
    since[#since + 1] = owed_since
    since[#since + 1] = member
  end
end
take(begun, begun_count)
take(lapsed, lapsed_count)
redis.call('ZADD', outbox, unpack(leases))
if begun_count > 0 then
  match_ttl(outbox, redis.call('PEXPIRETIME', scheduled))
  redis.call('ZREM', scheduled, unpack(claimed, 1, begun_count))
end
if pending_since then
  redis.pcall('ZADD', pending_since, 'NX', unpack(since))
  match_ttl(pending_since, redis.call('PEXPIRETIME', outbox))
end
return claimed
