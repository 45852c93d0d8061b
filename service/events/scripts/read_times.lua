-- Reads links of an index, highest score (a time) first, with who created each.
-- KEYS index
--      links: what the keys of its links begin with. They lie in the same slot; which of them are
--      read is known only here.
-- ARGV highest, lowest: the bounds of the scores
--      cursor: local id of the link after which it begins, whose score is `highest` ('' for none)
--      limit
-- Returns {{local id, ...}, {score, ...}, {{created, by}, ...}}: nil in place of one of the last if
--      a key holds another type.
local index, links = KEYS[1], KEYS[2]
local highest, lowest, cursor, limit = unpack(ARGV)

local start = 0
if cursor ~= '' then
  local higher = redis.call('ZCOUNT', index, '(' .. highest, '+inf')
  start = rank_after(index, cursor, highest) - higher
end
local found = redis.call(
  'ZREVRANGEBYSCORE', index, highest, lowest, 'WITHSCORES', 'LIMIT', start, limit)
local ids, scores, records = {}, {}, {}
for i = 1, #found, 2 do
  ids[#ids + 1], scores[#scores + 1] = found[i], found[i + 1]
  local record = redis.pcall('HMGET', links .. found[i], 'created', 'by')
  records[#records + 1] = not record.err and record
end
return {ids, scores, records}
