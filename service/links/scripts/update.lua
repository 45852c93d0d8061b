-- Replaces fields of a link that is still as the caller read it, and moves it between indexes.
-- KEYS link
--      org, active, revoked, paid: its organization's indexes
--      events: its organization's log
--      outbox, pending_since, scheduled, notice_outbox: where its e-mail and its reminder may be
--      owed or claimed
--      orgs: its partition's organizations
--      then the sorted sets that it enters, leaves, or changes its score in
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV local id, organization, now, gone_at: when the record goes, org_ends_at: the end of the second
--      it ends in (all ms)
--      reminder: the member of its reminder
--      changes_mail: 1 where its e-mail would tell something else afterwards, else 0
--      fingerprint, repeatable_until (ms): for save_request ('' without an idempotency key)
--      how many sorted sets, fields that are compared, fields that are set, fields that are removed
--      and events there are, then: a member of each sorted set and its score ('' where it leaves) in
--      turn; names and values in turn ('' where there is none); names and values in turn; names; each
--      event's arguments
-- Returns {'updated'}; or, where it changed nothing, {'changed'} if the link is not as it was,
--      {'held'} if its e-mails change and a worker has one, or {'earlier', what find_request found}.
--      Where a key that it has to add to holds another type, it changes nothing.
local link, org, active, revoked, paid, events = unpack(KEYS, 1, 6)
local outbox, pending_since, scheduled, notice_outbox, orgs = unpack(KEYS, 7, 11)
local id, org_id, now, gone_at, org_ends_at, reminder, changes_mail = unpack(ARGV, 1, 7)
local fingerprint, repeatable_until = unpack(ARGV, 8, 9)
local set_count, compared_count, changed_count, removed_count, event_count = unpack(ARGV, 10, 14)
local sets = {unpack(KEYS, 12, 11 + set_count)}
local idempotency = KEYS[12 + set_count]
local next_arg = 15
local function take(count)
  local taken = {unpack(ARGV, next_arg, next_arg + count - 1)}
  next_arg = next_arg + count
  return taken
end
local moves, compared = take(2 * set_count), take(2 * compared_count)
local changed, removed = take(2 * changed_count), take(removed_count)

local earlier = idempotency and find_request(idempotency)
if earlier then return {'earlier', unpack(earlier)} end
local names = {}
for i = 1, #compared, 2 do names[#names + 1] = compared[i] end
local values = redis.call('HMGET', link, unpack(names))
for i, value in ipairs(values) do
  if (value or '') ~= compared[2 * i] then return {'changed'} end
end
if changes_mail == '1' then
  local due_at, retry_at = redis.call('ZSCORE', outbox, id), redis.call('HGET', link, 'retry')
  local is_put_off = not due_at or due_at == retry_at
  -- Claimed, also where the lease has lapsed: the server may have it.
  if redis.call('ZSCORE', pending_since, id) and not is_put_off then return {'held'} end
  if redis.call('ZSCORE', notice_outbox, reminder) then return {'held'} end
end
for i, index in ipairs(sets) do
  if moves[2 * i] ~= '' then redis.call('ZCARD', index) end
end

if #changed > 0 then redis.call('HSET', link, unpack(changed)) end
if #removed > 0 then redis.call('HDEL', link, unpack(removed)) end
redis.call('PEXPIREAT', link, gone_at)
local ends_at = extend_ttl(org, gone_at)
for i, index in ipairs(sets) do
  local member, score = moves[2 * i - 1], moves[2 * i]
  if score == '' then
    remove(member, {index})
  else
    redis.call('ZADD', index, score, member)
    match_ttl(index, ends_at)
  end
end
for _, set in ipairs({active, revoked, paid, outbox, pending_since, scheduled, notice_outbox}) do
  match_ttl(set, ends_at)
end
if redis.pcall('ZADD', orgs, 'GT', 'CH', org_ends_at, org_id) == 1 then
  extend_ttl(orgs, gone_at + 1000)
end
for _ = 1, event_count do add_event(events, now, id, take(EVENT_ARGS)) end
if idempotency then save_request(idempotency, id, fingerprint, repeatable_until) end
return {'updated'}
