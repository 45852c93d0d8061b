-- Looks through a part of an organization's log, latest entry first.
-- KEYS log
-- ARGV from, to: the entries' ids, or times (ms), between which it looks; '(' before one: exclusive
--      entries: how many it looks at, limit: how many it returns
--      link: local id of the link that they are about ('' for any), kind: their type ('' for any)
-- Returns {id of the last entry looked at ('' if none is left), {{id, {field, value, ...}}, ...}}
local log = KEYS[1]
local from, to, count, limit, link, kind = unpack(ARGV)

local found, stopped_at = {}, ''
local entries = redis.call('XREVRANGE', log, from, to, 'COUNT', count)
if #entries == tonumber(count) then stopped_at = entries[#entries][1] end
for _, entry in ipairs(entries) do
  local _, entry_kind, _, entry_link = unpack(entry[2], 1, 4) -- in the order of add_event
  if (link == '' or entry_link == link) and (kind == '' or entry_kind == kind) then
    found[#found + 1] = entry
    if #found == tonumber(limit) then return {entry[1], found} end
  end
end
return {stopped_at, found}
