-- What became of a link's e-mail after a try.
-- KEYS 1 link  2 outbox  3 claimed  4 failed
-- ARGV 1 local id  2 state (SENT, FAILED, or QUEUED for another try)  3 attempts made  4 sent_at  5 error  6 next look
--      7 deadline of the lease under which it was tried ('' for whichever)
--      8 now  9 forget_before  10 when what fails now is forgotten (these where it failed)
-- Returns 1, or 0 where the mail was not owed any more, or is another's to send (one that went out is marked sent all the same).
local text = redis.call('GET', KEYS[1])
if not text then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
local state = tonumber(ARGV[2])
local owed = redis.call('ZSCORE', KEYS[2], ARGV[1])
local held = owed and (ARGV[7] == '' or tonumber(owed) == tonumber(ARGV[7]))
if not held and state ~= SENT then return 0 end
local link = cjson.decode(text)
local changes = {[STATE] = state, [ATTEMPTS] = link[ATTEMPTS] + ARGV[3]}
if state == SENT then
  changes[SENT_AT] = since_created(link, ARGV[4])
  if field(link, ERROR) then changes[ERROR] = cjson.null end
else
  changes[ERROR] = ARGV[5]
end
if state == FAILED then
  local due_at = link[CREATED_AT] + (field(link, SCHEDULED_AT) or 0)
  local expires_at = math.floor((due_at + link[EXPIRES_AT]) * 1000 + 0.5)
  local failed_at = math.min(ARGV[8], expires_at) -- so that it is forgotten before the link
  redis.call('ZADD', KEYS[4], string.format('%.0f', failed_at), ARGV[1])
  keep(KEYS[4], ARGV[10])
  forget(KEYS[4], ARGV[9])
elseif link[STATE] == FAILED then
  redis.call('ZREM', KEYS[4], ARGV[1])
end
write(KEYS[1], link, changes)
if state == QUEUED then
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return owed and 1 or 0
