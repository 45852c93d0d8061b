-- Counts a try of an e-mail's code before anybody compares it. Where no code is outstanding, nothing is counted.
-- KEYS 1 otp  2 failures of the e-mail today  3 those of them that one client network had  4 decoy
-- ARGV 1 now  2 tries a code  3 failures a day  4 failures a day by one network
-- Returns {'try', nonce}, {'none', ''} where there is no code to try, or {'limit', ms until it is not reached}.
local otp, failures, of_network, decoy = unpack(KEYS)
local now, max_tries, max_failures, max_of_network = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function is_reached(key, maximum)
  return tonumber(redis.call('GET', key) or '0') >= maximum
end
-- As much is written as where a try is counted, and waits for the disk as long: time must not tell whether there is a code.
local function pretend()
  count(decoy, 1000)
  count(decoy, 1000)
  redis.call('DEL', decoy)
  return {'none', ''}
end
if is_reached(failures, max_failures) then return {'limit', redis.call('PTTL', failures)} end
local nonce, expires_at, tries = unpack(redis.call('HMGET', otp, 'nonce', 'expires_at', 'tries'))
local is_outstanding = nonce and tonumber(expires_at) > now
local is_used_up = is_outstanding and tonumber(tries) >= max_tries
if is_reached(of_network, max_of_network) then
  -- A network hears of the code that it used up what it would hear of none, and after that of the limit, code or none.
  if is_used_up then return pretend() end
  return {'limit', redis.call('PTTL', of_network)}
end
if not is_outstanding then return pretend() end
count(failures, 86400000)
count(of_network, 86400000)
if is_used_up then return {'none', ''} end
redis.call('HINCRBY', otp, 'tries', 1)
return {'try', nonce}
