-- Records of links.
-- KEYS links
-- ARGV fields
-- Returns for each link its fields' values in order.
local records = {}
for i, key in ipairs(KEYS) do records[i] = redis.call('HMGET', key, unpack(ARGV)) end
return records
