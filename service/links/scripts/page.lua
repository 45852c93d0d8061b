-- One page of an organization's links, newest first, and how many there are.
-- KEYS 1 org  2 active  3 revoked
-- ARGV 1 now  2 forget_before  3 status ('' for all)  4 limit  5 cursor's score ('' for the first page)  6 cursor's local id
-- Returns {total, active, expired, revoked, last id's score ('' on the last page), {local id, local id, ...}}.
local now, before = ARGV[1], '(' .. ARGV[2]
forget(KEYS[2], ARGV[2], KEYS[1])
forget(KEYS[3], ARGV[2], KEYS[1])
local forgotten = redis.call('ZCOUNT', KEYS[2], '-inf', ARGV[2]) + redis.call('ZCOUNT', KEYS[3], '-inf', ARGV[2])
local active = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
local expired = redis.call('ZCOUNT', KEYS[2], before, now)
local revoked = redis.call('ZCOUNT', KEYS[3], before, '+inf')
local total = redis.call('ZCARD', KEYS[1]) - forgotten

local index, first, size = KEYS[1], 0, redis.call('ZCARD', KEYS[1])
if ARGV[3] == 'active' then index, size = KEYS[2], active end
if ARGV[3] == 'expired' then index, first, size = KEYS[2], active, expired end
if ARGV[3] == 'revoked' then index, size = KEYS[3], revoked end

local start = first
if ARGV[5] ~= '' then
  local rank = redis.call('ZREVRANK', index, ARGV[6])
  if rank then
    start = rank + 1
  else
    -- The cursor's link left this index meanwhile: where it would stand is known once it stands there again.
    redis.call('ZADD', index, ARGV[5], ARGV[6])
    start = redis.call('ZREVRANK', index, ARGV[6])
    redis.call('ZREM', index, ARGV[6])
  end
  start = math.max(first, start)
end
local last = first + size - 1
local stop = math.min(start + tonumber(ARGV[4]) - 1, last)
local ids = start <= stop and redis.call('ZREVRANGE', index, start, stop) or {}
return {total, active, expired, revoked, stop < last and redis.call('ZSCORE', index, ids[#ids]) or '', ids}
