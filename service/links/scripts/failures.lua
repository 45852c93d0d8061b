-- Reads links whose e-mail was given up, latest first.
-- KEYS failed
-- ARGV up to when failures are forgotten (ms), limit
-- Returns {how many, local id, when, local id, when, ...}: up to limit pairs.
local failed = KEYS[1]
local forget_before, limit = unpack(ARGV)

local kept = '(' .. forget_before
local latest =
  redis.call('ZREVRANGEBYSCORE', failed, '+inf', kept, 'WITHSCORES', 'LIMIT', 0, limit)
return {redis.call('ZCOUNT', failed, kept, '+inf'), unpack(latest)}
