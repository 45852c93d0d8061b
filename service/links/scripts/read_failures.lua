-- Reads links whose e-mail was given up, latest first.
-- KEYS failed
-- ARGV after: since when failures count (ms), limit
-- Returns {how many, local id, when, local id, when, ...}: up to limit pairs.
local failed = KEYS[1]
local after, limit = unpack(ARGV)

local lowest = '(' .. after
local latest =
  redis.call('ZREVRANGEBYSCORE', failed, '+inf', lowest, 'WITHSCORES', 'LIMIT', 0, limit)
return {redis.call('ZCOUNT', failed, lowest, '+inf'), unpack(latest)}
