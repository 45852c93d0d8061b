-- Links whose e-mail was given up, latest first.
-- KEYS 1 failed
-- ARGV 1 forget_before  2 limit
-- Returns {how many, local id, when, local id, when, ...}: up to limit pairs.
local before = '(' .. ARGV[1]
local found = {redis.call('ZCOUNT', KEYS[1], before, '+inf')}
for _, value in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', before, 'WITHSCORES', 'LIMIT', 0, ARGV[2])) do
  found[#found + 1] = value
end
return found
