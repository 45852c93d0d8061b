-- Reads claimed notices. One whose link or sample no longer exists leaves the queue.
-- KEYS notice_outbox
--      for each notice the hash of what it is about: its link, or its sample
--      for each sample the profile of its organization
-- ARGV how many notices there are
--      for each its member, and whether it is a sample (0 or 1), in turn
-- Returns for each its link's fields, names and values in turn, or {at, tries, profile} of a sample:
--      {} where it no longer exists, nil where a key holds another type: that e-mail stays owed.
local outbox, count = KEYS[1], tonumber(ARGV[1])

local found, sample_count = {}, 0
for i = 1, count do
  local record, member, is_sample = KEYS[1 + i], ARGV[2 * i], ARGV[2 * i + 1] == '1'
  local values
  if is_sample then
    sample_count = sample_count + 1
    values = redis.pcall('HMGET', record, 'at', 'tries')
    local profile = redis.pcall('GET', KEYS[1 + count + sample_count])
    values[3] = type(profile) == 'string' and profile
  else
    values = redis.pcall('HGETALL', record)
  end
  found[i] = not values.err and values
  if redis.call('EXISTS', record) == 0 then
    redis.call('ZREM', outbox, member)
    found[i] = {}
  end
end
return found
