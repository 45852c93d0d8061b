-- Takes due e-mails under a lease: scheduled ones first, then those that are due in the outbox, for
-- which half of the limit is reserved. An odd one goes to either, by the last bit of the time.
-- KEYS outbox
--      scheduled: of links and notices only
--      pending_since: of links only, and only under a lease
-- ARGV now, lease deadline ('' for none: the next claim may take them) (ms)
--      limit
--      outbox_until: up to when those of the outbox are due ('' for none of them)
--      scheduled_from, scheduled_before: when those scheduled are due (ms)
-- Returns the claimed members. Where scheduled or pending_since holds another type, the outbox is
--      claimed all the same.
local outbox, scheduled, pending_since = unpack(KEYS)
local now, lease_deadline, limit, outbox_until, scheduled_from, scheduled_before = unpack(ARGV)
limit = tonumber(limit)

local function find_due(key, from, to)
  local found = redis.pcall('ZRANGEBYSCORE', key, from, to, 'WITHSCORES', 'LIMIT', 0, limit)
  return found.err and {} or found
end

local due_outbox = outbox_until == '' and {} or find_due(outbox, '-inf', outbox_until)
local due_scheduled =
  scheduled and find_due(scheduled, scheduled_from, '(' .. scheduled_before) or {}
local half = math.floor((limit + now % 2) / 2)
local scheduled_limit = math.max(half, limit - #due_outbox / 2)
local scheduled_count = math.min(#due_scheduled / 2, scheduled_limit)
local outbox_count = math.min(#due_outbox / 2, limit - scheduled_count)
if scheduled_count + outbox_count == 0 then return {} end

local claimed, leases, since = {}, {}, {}
local function take(found, count)
  for i = 1, 2 * count, 2 do
    local member, due_since = found[i], found[i + 1]
    if tonumber(due_since) > tonumber(now) then due_since = now end
    claimed[#claimed + 1] = member
    leases[#leases + 1] = lease_deadline == '' and due_since or lease_deadline
    leases[#leases + 1] = member
    since[#since + 1] = due_since
    since[#since + 1] = member
  end
end
take(due_scheduled, scheduled_count)
take(due_outbox, outbox_count)
redis.call('ZADD', outbox, unpack(leases))
if scheduled_count > 0 then
  match_ttl(outbox, redis.call('PEXPIRETIME', scheduled))
  redis.call('ZREM', scheduled, unpack(claimed, 1, scheduled_count))
end
if pending_since then
  redis.pcall('ZADD', pending_since, 'NX', unpack(since))
  match_ttl(pending_since, redis.call('PEXPIRETIME', outbox))
end
return claimed
