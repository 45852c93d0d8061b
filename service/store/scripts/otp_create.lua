-- A new code for an e-mail, if its limits allow; it voids the one before.
-- KEYS 1 otp  2 resend  3 sends_hour  4 sends_day  5 otp_outbox
-- ARGV 1 e-mail  2 nonce  3 now  4 ttl  5 resend_after  6 sends an hour  7 sends a day  8 org_id ('' for none)  9 locale ('' for none)
-- Returns {'created', 0} or {the limit that is reached, ms until it is not}.
local limits = {{'day', 4, ARGV[7]}, {'hour', 3, ARGV[6]}, {'resend', 2, '1'}}
for _, limit in ipairs(limits) do
  if tonumber(redis.call('GET', KEYS[limit[2]]) or '0') >= tonumber(limit[3]) then
    return {limit[1], redis.call('PTTL', KEYS[limit[2]])}
  end
end
count(KEYS[2], ARGV[5])
count(KEYS[3], 3600000)
count(KEYS[4], 86400000)
local expires_at = tonumber(ARGV[3]) + tonumber(ARGV[4])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'nonce', ARGV[2], 'expires_at', string.format('%.0f', expires_at), 'tries', 0, 'attempts', 0)
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'org_id', ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'locale', ARGV[9]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[5], ARGV[3], ARGV[1])
keep(KEYS[5], string.format('%.0f', expires_at))
return {'created', 0}
