-- Creates a link: its record, its index entries, and what it owes. It may have to supersede the other
-- links of its transaction, or to fail because of them.
-- KEYS link
--      org, active, revoked, paid: its organization's indexes
--      email: its recipient's index
--      orgs: its partition's organizations
--      queue: where its e-mail is owed, or, if it has none, its first reminder
--      transaction: the index of its transaction, if it has one
--      unless on_conflict is 'allow': events: its organization's log; outbox, scheduled, pending_since,
--      notices, notice_outbox; emails: what the keys of recipients' indexes begin with. These, and the
--      links of the transaction, lie in the same slot; which of them are used is known only here.
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV local id, organization, owed: the member of the queue
--      created_at, expires_at, gone_at: when the record goes, org_ends_at: the end of the second it
--      expires in, due_at: when that is due ('' if it owes nothing), prune_before: up to when
--      index entries are pruned ('' for no pruning) (all ms)
--      on_conflict: 'allow', 'error' or 'supersede' ('' if it has no transaction)
--      fingerprint, repeatable_until (ms): for save_request ('' without an idempotency key)
--      gone: the link of an earlier request that has expired ('' for none)
--      how many names and values of fields follow, and these in turn
--      unless on_conflict is 'allow': created_at (text), when the record of a superseded link goes (ms),
--      the delivery states scheduled, queued and none, what the ids of the partition's links begin
--      with, what the members of reminders begin with, and the event of being superseded
-- Returns 1, or {'superseded', local id of the newest that it supersedes}; or, where it changed
--      nothing, 0 if the id exists already, {'earlier', what find_request found}, {'exists', local id
--      of the newest active or paid link of the transaction}, or {'paid', local id of one that it
--      cannot supersede}. Where a key holds another type, it stores nothing; it needs neither paid nor
--      orgs, and revoked only if it supersedes.
local link, org, active, revoked, paid, email, orgs, queue = unpack(KEYS, 1, 8)
local id, org_id, owed, created_at, expires_at = unpack(ARGV, 1, 5)
local gone_at, org_ends_at, due_at, prune_before = unpack(ARGV, 6, 9)
local on_conflict, fingerprint, repeatable_until, gone, field_count = unpack(ARGV, 10, 14)
local FIRST_FIELD = 15
local LAST_FIELD = FIRST_FIELD + field_count - 1
local transaction = on_conflict ~= '' and KEYS[9]
local idempotency = fingerprint ~= '' and KEYS[#KEYS]
local links = link:sub(1, #link - #id) -- what the keys of the partition's links begin with

local earlier = idempotency and find_request(idempotency)
if earlier and (gone == '' or earlier[1] ~= gone) then return {'earlier', unpack(earlier)} end
if redis.call('EXISTS', link) == 1 then return 0 end

-- Returns up to `limit` links of the transaction that are active at `now` (text) or paid, newest first.
local function find_conflicts(now, limit)
  local found = {}
  for _, other in ipairs(redis.call('ZREVRANGE', transaction, 0, -1)) do
    local key = links .. other
    local expires, revoked_at, paid_at, partly, state, sends, address, recipient =
      unpack(redis.pcall('HMGET', key, 'expires', 'revoked', 'paid', 'partly', 'state', 'sends',
        'email', 'recipient'))
    if paid_at or (expires and not revoked_at and expires > now) then
      found[#found + 1] = {
        key = key, id = other, is_paid = paid_at or partly, state = state, sends = sends,
        recipient = recipient or (address or ''):lower(),
      }
    end
    if #found == limit then break end
  end
  return found
end

local superseded = {}
if on_conflict == 'error' then
  local newest = find_conflicts(ARGV[LAST_FIELD + 1], 1)[1]
  if newest then return {'exists', newest.id} end
elseif on_conflict == 'supersede' then
  superseded = find_conflicts(ARGV[LAST_FIELD + 1])
  for _, other in ipairs(superseded) do
    if other.is_paid then return {'paid', other.id} end
  end
end

local function store()
  redis.call('HSET', link, unpack(ARGV, FIRST_FIELD, LAST_FIELD))
  redis.call('PEXPIREAT', link, gone_at)
  redis.call('ZADD', org, created_at, id)
  redis.call('ZADD', active, expires_at, id)
  redis.call('ZADD', email, expires_at, id)
  local ends_at, is_moved = extend_ttl(org, gone_at)
  match_ttl(active, ends_at)
  if is_moved then
    match_ttl(revoked, ends_at)
    match_ttl(paid, ends_at)
  end
  extend_ttl(email, gone_at)
  if transaction then
    redis.call('ZADD', transaction, created_at, id)
    extend_ttl(transaction, gone_at)
  end
  if due_at ~= '' then
    redis.call('ZADD', queue, due_at, owed)
    extend_ttl(queue, gone_at)
  end
  if idempotency then save_request(idempotency, id, fingerprint, repeatable_until) end
  if redis.pcall('ZADD', orgs, 'GT', 'CH', org_ends_at, org_id) == 1 then
    extend_ttl(orgs, gone_at + org_ends_at - expires_at)
  end
end
local function supersede()
  local events, outbox, scheduled, pending_since = unpack(KEYS, 10, 13)
  local notices, notice_outbox, emails = unpack(KEYS, 14, 16)
  local now_text, other_gone_at = unpack(ARGV, LAST_FIELD + 1, LAST_FIELD + 2)
  local states = {unpack(ARGV, LAST_FIELD + 3, LAST_FIELD + 5)}
  local id_prefix, reminder = unpack(ARGV, LAST_FIELD + 6, LAST_FIELD + 7)
  local event = {unpack(ARGV, LAST_FIELD + 8)}
  for _, other in ipairs(superseded) do
    revoke_link(other, created_at, now_text, other_gone_at, states, revoked, org)
    redis.call('HSET', other.key, 'superseded', id_prefix .. id)
    remove(other.id,
      {active, emails .. other.recipient, transaction, outbox, scheduled, pending_since})
    remove(reminder .. other.id, {notices, notice_outbox})
    add_event(events, created_at, other.id, event)
  end
  redis.call('HSET', link, 'supersedes', id_prefix .. superseded[1].id)
end
-- None of the links that are gone was created after `prune_before`.
local function prune_transaction()
  local old = redis.call('ZRANGEBYSCORE', transaction, '-inf', prune_before, 'LIMIT', 0, 100)
  for _, other in ipairs(old) do
    if redis.call('EXISTS', links .. other) == 0 then redis.call('ZREM', transaction, other) end
  end
end
local function prune_all()
  prune(active, prune_before, org)
  prune(email, prune_before)
  prune(revoked, prune_before, org)
  prune(paid, prune_before, org)
  prune(orgs, prune_before)
  if transaction then prune_transaction() end
end

local is_stored, problem = pcall(function()
  store()
  if superseded[1] then supersede() end
end)
if is_stored then
  if prune_before ~= '' then pcall(prune_all) end
  return superseded[1] and {'superseded', superseded[1].id} or 1
end
remove(id, {org, active, email, transaction or nil})
remove(owed, {queue})
redis.call('DEL', link)
if idempotency then redis.call('DEL', idempotency) end
return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
