-- Put before every script. A link is known by its local id (keys.py).

-- Lets `key` live at least until `at` (ms): an index outlives every entry it holds.
local function keep(key, at)
  if redis.call('PEXPIREAT', key, at, 'GT') == 0 and redis.call('PTTL', key) == -1 then
    redis.call('PEXPIREAT', key, at)
  end
end

-- Lets `key` live as long as `other`: without its entries, nobody would know to drop theirs from the other.
local function keep_as_long(key, other)
  local at = redis.call('PEXPIRETIME', other)
  if at > 0 then keep(key, at) end
end

-- Counts one more under `key`, in a window of `window` ms that begins with the first.
local function count(key, window)
  local number = redis.call('INCR', key)
  if number == 1 then redis.call('PEXPIRE', key, window) end
  return number
end

-- Takes one count under `key` back; it may be gone by now.
local function uncount(key)
  if redis.call('EXISTS', key) == 1 and redis.call('DECR', key) <= 0 then redis.call('DEL', key) end
end

-- Drops entries of `index` whose link's retention ended by `before`, from all of `indexes`; a bounded number a call.
local function forget(index, before, ...)
  local gone = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 100)
  if #gone > 0 then
    redis.call('ZREM', index, unpack(gone))
    for _, other in ipairs({...}) do redis.call('ZREM', other, unpack(gone)) end
  end
end

-- What the request with the idempotency key behind `key` made before: {local id, digest of its meaning}; nil where it made nothing,
-- or only `gone`, which is there no more.
local function find_earlier(key, gone)
  local earlier = redis.call('HMGET', key, 'id', 'meaning')
  if earlier[1] and earlier[1] ~= gone then return earlier end
end

-- Remembers until `at` (ms) that the request behind `key` made `id`.
local function remember(key, id, meaning, at)
  redis.call('HSET', key, 'id', id, 'meaning', meaning)
  redis.call('PEXPIREAT', key, at)
end

-- Where a link's record (record.py) holds what changes, and what its times count from.
local STATE, CREATED_AT, EXPIRES_AT, ATTEMPTS, SENT_AT, SCHEDULED_AT, REVOKED_AT, ERROR = 1, 4, 5, 6, 7, 11, 13, 14
local NONE, SCHEDULED, QUEUED, SENT, FAILED = 0, 1, 2, 3, 4

-- What `link`, a decoded record, holds there; nil for null.
local function field(link, position)
  if link[position] ~= cjson.null then return link[position] end
end

-- A moment (ms) as the record of `link` holds it: in seconds since the link was created.
local function since_created(link, moment)
  return (moment - math.floor(link[CREATED_AT] * 1000 + 0.5)) / 1000
end

-- Writes `link` back to `key` with `changes`; what is left out before them is null.
local function write(key, link, changes)
  for position in pairs(changes) do
    for before = #link + 1, position do link[before] = cjson.null end
  end
  for position, value in pairs(changes) do link[position] = value end
  redis.call('SET', key, cjson.encode(link), 'KEEPTTL')
end
