-- Counts a try of an e-mail's code before anybody compares it, if a code is outstanding.
-- KEYS otp
--      failures of the e-mail today, of_network: those of them that one client network had
--      decoy
-- ARGV now (text), tries a code, failures in the window, those of one network, the window (ms)
-- Returns {'try', nonce}, {'none', ''} where there is no code to try, or {'limit', ms until it is
--      not reached}.
local otp, failures, of_network, decoy = unpack(KEYS)
local now, max_tries, max_failures, max_of_network, window = unpack(ARGV)

local function is_reached(key, maximum)
  return tonumber(redis.call('GET', key) or '0') >= tonumber(maximum)
end
-- Writes as much as where a try is counted, and waits for the disk as long: the time it takes must
-- not tell whether there is a code.
local function pretend()
  count(decoy, 1000)
  count(decoy, 1000)
  redis.call('DEL', decoy)
  return {'none', ''}
end

if is_reached(failures, max_failures) then return {'limit', redis.call('PTTL', failures)} end
local nonce, expires, tries = unpack(redis.call('HMGET', otp, 'nonce', 'expires', 'tries'))
local is_outstanding = nonce and expires > now
local is_used_up = is_outstanding and tonumber(tries) >= tonumber(max_tries)
if is_reached(of_network, max_of_network) then
  -- A network is answered alike for a code that it used up and for none, and after that with the
  -- limit, code or none.
  if is_used_up then return pretend() end
  return {'limit', redis.call('PTTL', of_network)}
end
if not is_outstanding then return pretend() end
count(failures, window)
count(of_network, window)
if is_used_up then return {'none', ''} end
redis.call('HINCRBY', otp, 'tries', 1)
return {'try', nonce}
