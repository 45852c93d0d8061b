-- Counts a try of an e-mail's code before anybody compares it.
-- KEYS 1 otp  2 failures_day
-- ARGV 1 now  2 tries a code  3 failures a day
-- Returns {'try', nonce}, {'none', ''} where there is no code to try, or {'limit', ms until it is not reached}.
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[3]) then
  return {'limit', redis.call('PTTL', KEYS[2])}
end
count(KEYS[2], 86400000)
local code = redis.call('HMGET', KEYS[1], 'nonce', 'expires_at')
if not code[1] or tonumber(code[2]) <= tonumber(ARGV[1]) then return {'none', ''} end
if redis.call('HINCRBY', KEYS[1], 'tries', 1) > tonumber(ARGV[2]) then return {'none', ''} end
return {'try', code[1]}
