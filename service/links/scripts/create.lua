-- Creates a link: its record, its index entries, and the e-mail it owes.
-- KEYS link
--      org, active, revoked: its organization's indexes
--      email: its recipient's index
--      orgs: its partition's organizations
--      queue: where its e-mail is owed
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV local id, organization
--      created_at, expires_at, gone_at: when the record goes, org_ends_at: the end of the second it
--      expires in, due_at: when its e-mail is due ('' if it owes none), prune_before: up to when
--      index entries are pruned ('' for no pruning) (all ms)
--      fingerprint, repeatable_until (ms), gone: for find_request and save_request
--      ('' without an idempotency key)
--      the record's fields and values in turn
-- Returns 1; or, where it changed nothing, 0 if the id exists already, or what find_request found.
--      Where a key holds another type, it stores nothing; it needs neither revoked nor orgs.
local link, org, active, revoked, email, orgs, queue, idempotency = unpack(KEYS)
local id, org_id, created_at, expires_at = unpack(ARGV, 1, 4)
local gone_at, org_ends_at, due_at, prune_before = unpack(ARGV, 5, 8)
local fingerprint, repeatable_until, gone = unpack(ARGV, 9, 11)
local FIRST_FIELD = 12

local earlier = idempotency and find_request(idempotency, gone)
if earlier then return earlier end
if redis.call('EXISTS', link) == 1 then return 0 end

local function store()
  redis.call('HSET', link, unpack(ARGV, FIRST_FIELD))
  redis.call('PEXPIREAT', link, gone_at)
  redis.call('ZADD', org, created_at, id)
  redis.call('ZADD', active, expires_at, id)
  redis.call('ZADD', email, expires_at, id)
  local ends_at, is_moved = extend_ttl(org, gone_at)
  match_ttl(active, ends_at)
  if is_moved then match_ttl(revoked, ends_at) end
  extend_ttl(email, gone_at)
  if due_at ~= '' then
    redis.call('ZADD', queue, due_at, id)
    extend_ttl(queue, gone_at)
  end
  if idempotency then save_request(idempotency, id, fingerprint, repeatable_until) end
  if redis.pcall('ZADD', orgs, 'GT', 'CH', org_ends_at, org_id) == 1 then
    extend_ttl(orgs, gone_at + org_ends_at - expires_at)
  end
end
local function prune_all()
  prune(active, prune_before, org)
  prune(email, prune_before)
  prune(revoked, prune_before, org)
  prune(orgs, prune_before)
end

local is_stored, problem = pcall(store)
if is_stored then
  if prune_before ~= '' then pcall(prune_all) end
  return 1
end
for _, index in ipairs({org, active, email, queue}) do redis.pcall('ZREM', index, id) end
redis.call('DEL', link)
if idempotency then redis.call('DEL', idempotency) end
return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
