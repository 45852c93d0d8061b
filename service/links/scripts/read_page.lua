-- Reads a page of an organization's links, highest score first, and counts all its links.
-- KEYS org, active, revoked, paid: its indexes
--      index: the one of them that the page is of
--      links: what the keys of its links begin with. They lie in the same slot; which of them are
--      read is known only here.
-- ARGV now, prune_before: up to when index entries are pruned (ms)
--      lowest, highest: the bounds of the scores
--      limit
--      score, cursor: of the last link on the page before, its local id ('' for the first page)
-- Returns {total, active, expired, revoked, paid, score of the last link ('' on the last page),
--      {local id, ...}, {its fields, names and values in turn, ...}}: nil for fields if a key holds another
--      type.
local org, active, revoked, paid, index, links = unpack(KEYS)
local now, prune_before, lowest, highest, limit, score, cursor = unpack(ARGV)

prune(active, prune_before, org)
prune(revoked, prune_before, org)
prune(paid, prune_before, org)
local kept = '(' .. prune_before
local total = redis.call('ZCARD', org)
  - redis.call('ZCOUNT', active, '-inf', prune_before)
  - redis.call('ZCOUNT', revoked, '-inf', prune_before)
  - redis.call('ZCOUNT', paid, '-inf', prune_before)
local active_count = redis.call('ZCOUNT', active, '(' .. now, '+inf')
local expired_count = redis.call('ZCOUNT', active, kept, now)
local revoked_count = redis.call('ZCOUNT', revoked, kept, '+inf')
local paid_count = redis.call('ZCOUNT', paid, kept, '+inf')

local first = redis.call('ZCARD', index) - redis.call('ZCOUNT', index, '-inf', highest)
local last = first + redis.call('ZCOUNT', index, lowest, highest) - 1
local start = first
if score ~= '' then
  start = math.max(first, rank_after(index, cursor, score))
end
local stop = math.min(start + tonumber(limit) - 1, last)
local ids = start <= stop and redis.call('ZREVRANGE', index, start, stop) or {}

local records = {}
for i, id in ipairs(ids) do
  local record = redis.pcall('HGETALL', links .. id) -- faster than asking for fields that are absent
  records[i] = not record.err and record
end
local next_score = stop < last and redis.call('ZSCORE', index, ids[#ids]) or ''
return {
  total, active_count, expired_count, revoked_count, paid_count, next_score, ids, records,
}
