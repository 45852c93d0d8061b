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

-- Returns which of `counters` has reached its limit (from 1), and the ms until it has not: of
-- several, the one that lasts longest; 0, 0 if none has. `limits` holds the maximum and the window
-- (ms) of each in turn.
local function find_reached(counters, limits)
  local reached, wait = 0, 0
  for i, counter in ipairs(counters) do
    if tonumber(redis.call('GET', counter) or '0') >= tonumber(limits[2 * i - 1]) then
      local left = redis.call('PTTL', counter)
      if reached == 0 or left > wait then reached, wait = i, left end
    end
  end
  return reached, wait
end

-- Adds one to each of `counters`.
local function count_all(counters, limits)
  for i, counter in ipairs(counters) do count(counter, limits[2 * i]) end
end

-- Drops up to 100 entries with a score of at most `before` from `index`, and from the `others`.
local function prune(index, before, ...)
  local gone = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 100)
  if #gone > 0 then
    redis.call('ZREM', index, unpack(gone))
    for _, other in ipairs({...}) do redis.call('ZREM', other, unpack(gone)) end
  end
end

-- Returns the rank, highest score first, of what follows `id` in `index`, where it has, or had, this
-- score.
local function rank_after(index, id, score)
  local rank = redis.call('ZREVRANK', index, id)
  if rank then return rank + 1 end
  -- It left the index meanwhile: its rank is known once it is back for a moment.
  redis.call('ZADD', index, score, id)
  rank = redis.call('ZREVRANK', index, id)
  redis.call('ZREM', index, id)
  return rank
end

-- Returns the local id of the link that an earlier request with the idempotency key was about ('' if
-- it was about several), and the fingerprint of that request; nil if there was none.
local function find_request(key)
  local earlier = redis.call('HMGET', key, 'id', 'fingerprint')
  if earlier[2] then return earlier end
end

-- Saves until `at` (ms) that the request with the idempotency key was about the link `id`.
local function save_request(key, id, fingerprint, at)
  redis.call('HSET', key, 'id', id, 'fingerprint', fingerprint)
  redis.call('PEXPIREAT', key, at)
end

-- Appends to an organization's log that something happened to the link `id` at `at` (ms). `event`
-- holds the type, the actor, the request's id ('' for none), data in JSON ('' for none), and the ms
-- for which events are kept. A log of another type stays as it is.
local function add_event(log, at, id, event)
  local kind, actor, request, data, retention = unpack(event)
  local function append(time)
    return redis.pcall('XADD', log, 'MAXLEN', '~', MAX_EVENTS, time .. '-*',
      'type', kind, 'link', id, 'actor', actor, 'request', request, 'data', data)
  end
  local added = append(at)
  if added.err then -- the clock of the process that wrote the last one is ahead
    local last = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
    if last.err or not last[1] then return end
    append(last[1][1]:match('^%d+'))
  end
  local kept_from = string.format('%.0f', at - retention)
  redis.call('XTRIM', log, 'MINID', '~', kept_from)
  extend_ttl(log, string.format('%.0f', at + retention))
end
