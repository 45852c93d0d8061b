-- Saves that a request is carried out, unless it was saved before.
-- KEYS idempotency: the record of the request
-- ARGV fingerprint, repeatable_until (ms): for save_request
-- Returns {what find_request found, if it was saved before, the record's end (ms)}.
local idempotency = KEYS[1]
local fingerprint, repeatable_until = unpack(ARGV)

local earlier = find_request(idempotency)
if not earlier then save_request(idempotency, '', fingerprint, repeatable_until) end
return {earlier or false, redis.call('PEXPIRETIME', idempotency)}
