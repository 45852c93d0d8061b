-- Stands before every script. A script knows a link by its local id (keys.py).

-- Lets `key` live at least until `at` (ms). Where it moves the end, it adds TTL_MARGIN, so that
-- most calls only read it. Returns the end, and whether it was moved.
local function extend_ttl(key, at)
  local ends_at = redis.call('PEXPIRETIME', key)
  if ends_at >= tonumber(at) then return ends_at, false end
  ends_at = at + TTL_MARGIN
  redis.call('PEXPIREAT', key, string.format('%.0f', ends_at))
  return ends_at, true
end

-- Lets `key` live at least until `at` (ms), without a margin. An index whose entries decide when
-- those of another are pruned has to live as long as that one.
local function match_ttl(key, at)
  if redis.call('PEXPIRETIME', key) < at then
    redis.call('PEXPIREAT', key, string.format('%.0f', at))
  end
end

-- Adds one to the counter `key`. The first count starts a window of `window` ms.
local function count(key, window)
  local number = redis.call('INCR', key)
  if number == 1 then redis.call('PEXPIRE', key, window) end
  return number
end

-- Takes one count under `key` back; it may be gone by now.
local function uncount(key)
  if redis.call('EXISTS', key) == 1 and redis.call('DECR', key) <= 0 then redis.call('DEL', key) end
end

-- Drops up to 100 entries with a score of at most `before` from `index`, and from the `others`.
local function prune(index, before, ...)
  local gone = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 100)
  if #gone > 0 then
    redis.call('ZREM', index, unpack(gone))
    for _, other in ipairs({...}) do redis.call('ZREM', other, unpack(gone)) end
  end
end

-- Returns the local id of what an earlier request with the idempotency key created, and the
-- fingerprint of that request; nil if there was none, or if it created `gone`, which has expired.
local function find_request(key, gone)
  local earlier = redis.call('HMGET', key, 'id', 'fingerprint')
  if earlier[1] and earlier[1] ~= gone then return earlier end
end

-- Saves until `at` (ms) that the request with the idempotency key created `id`.
local function save_request(key, id, fingerprint, at)
  redis.call('HSET', key, 'id', id, 'fingerprint', fingerprint)
  redis.call('PEXPIREAT', key, at)
end
