-- A new link: its record, its indexes, and the e-mail it owes.
-- KEYS 1 link  2 org  3 active  4 revoked  5 email  6 the queue that owes its e-mail  7 orgs  8 idempotency (if the request has a key)
-- ARGV 1 local id  2 record  3 created_at  4 expires_at  5 gone_at  6 due_at ('' where it owes none)  7 forget_before  8 org_id
--      9 digest of the request's meaning  10 until when it may be repeated  11 the local id it made that is gone (these with a key)
-- Where an index holds something else, nothing is stored; that of organizations is done without.
-- Returns 1; or, where nothing was changed, 0 if the id exists already, or what the request made before (common.lua).
local id, gone_at, idempotency = ARGV[1], ARGV[5], KEYS[8]
local earlier = idempotency and find_earlier(idempotency, ARGV[11])
if earlier then return earlier end
if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PXAT', gone_at) then return 0 end
if idempotency then remember(idempotency, id, ARGV[9], ARGV[10]) end
local function add_to_indexes()
  redis.call('ZADD', KEYS[2], ARGV[3], id)
  redis.call('ZADD', KEYS[3], ARGV[4], id)
  redis.call('ZADD', KEYS[5], ARGV[4], id)
  keep(KEYS[2], gone_at)
  keep_as_long(KEYS[3], KEYS[2])
  keep_as_long(KEYS[4], KEYS[2])
  keep(KEYS[5], gone_at)
  if ARGV[6] ~= '' then
    redis.call('ZADD', KEYS[6], ARGV[6], id)
    keep(KEYS[6], gone_at)
  end
  local last_end = math.ceil(ARGV[4] / 1000) * 1000 -- in whole seconds: of many links a second only the first writes anything
  if redis.pcall('ZADD', KEYS[7], 'GT', 'CH', string.format('%.0f', last_end), ARGV[8]) == 1 then
    keep(KEYS[7], string.format('%.0f', last_end + gone_at - ARGV[4]))
    forget(KEYS[7], ARGV[7])
  end
  forget(KEYS[3], ARGV[7], KEYS[2])
  forget(KEYS[4], ARGV[7], KEYS[2])
  forget(KEYS[5], ARGV[7])
end
local is_stored, problem = pcall(add_to_indexes)
if is_stored then return 1 end
for _, key in ipairs({KEYS[2], KEYS[3], KEYS[5], KEYS[6]}) do redis.pcall('ZREM', key, id) end
redis.call('DEL', KEYS[1])
if idempotency then redis.call('DEL', idempotency) end
return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
