-- Owes an organization a sample, in place of one that is not out yet.
-- KEYS sample, notices, notice_outbox
--      a counter: of its samples
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV member, now (ms), now (text), gone_at: when the sample goes (ms)
--      maximum and window (ms) of the counter
--      fingerprint, repeatable_until (ms): for save_request ('' without an idempotency key)
-- Returns {'queued'}; or, where it changed nothing, {'earlier', what find_request found}, or {'limit',
--      which counter is reached (1), ms until it is not}.
local sample, notices, outbox, counters, idempotency = KEYS[1], KEYS[2], KEYS[3], {KEYS[4]}, KEYS[5]
local member, now, now_text, gone_at = unpack(ARGV, 1, 4)
local limits = {unpack(ARGV, 5, 6)}
local fingerprint, repeatable_until = unpack(ARGV, 7, 8)

local earlier = idempotency and find_request(idempotency)
if earlier then return {'earlier', unpack(earlier)} end
local reached, wait = find_reached(counters, limits)
if reached > 0 then return {'limit', reached, wait} end

redis.call('ZREM', outbox, member)
redis.call('ZADD', notices, now, member)
extend_ttl(notices, gone_at)
redis.call('DEL', sample)
redis.call('HSET', sample, 'at', now_text)
redis.call('PEXPIREAT', sample, gone_at)
count_all(counters, limits)
if idempotency then save_request(idempotency, '', fingerprint, repeatable_until) end
return {'queued'}
