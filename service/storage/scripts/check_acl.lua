-- Tries every command that the service uses on a key of its own, which does not exist afterwards.
-- KEYS a key that nobody else uses
-- Returns the commands that the user may not run.
local key, refused = KEYS[1], {}
local commands = {
  {'DEL', key}, {'SET', key, '1', 'PX', 1000}, {'GET', key}, {'EXISTS', key}, {'TYPE', key},
  {'INCR', key}, {'DECR', key},
  {'PEXPIRE', key, 1000}, {'PTTL', key}, {'PEXPIREAT', key, 1}, {'PEXPIRETIME', key},
  {'ZADD', key, 1, 'a'}, {'ZCARD', key}, {'ZCOUNT', key, '-inf', '+inf'},
  {'ZRANGEBYSCORE', key, '-inf', '+inf'}, {'ZREVRANGE', key, 0, 0},
  {'ZREVRANGEBYSCORE', key, '+inf', '-inf'}, {'ZREVRANK', key, 'a'}, {'ZSCORE', key, 'a'},
  {'ZREMRANGEBYSCORE', key, 1, 1}, {'ZREM', key, 'a'},
  {'HSET', key, 'a', '1'}, {'HGET', key, 'a'}, {'HMGET', key, 'a'}, {'HGETALL', key},
  {'HINCRBY', key, 'a', 1}, {'HDEL', key, 'a'},
  {'TIME'}, {'DEL', key},
  {'XADD', key, '*', 'a', '1'}, {'XRANGE', key, '-', '+'}, {'XREVRANGE', key, '+', '-'},
  {'XTRIM', key, 'MAXLEN', 0}, {'DEL', key},
}
local function is_refusal(problem)
  return problem:find('ACL failure', 1, true) or problem:find("can't run this command", 1, true)
end
for _, command in ipairs(commands) do
  local reply = redis.pcall(unpack(command))
  local problem = type(reply) == 'table' and reply.err or ''
  if is_refusal(problem) then refused[#refused + 1] = command[1] end
end
return refused
