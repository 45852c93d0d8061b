-- Stands before every script of links, after the one of storage.

-- Removes `member` from each of `sets`. A key of another type does not contain it.
local function remove(member, sets)
  for _, set in ipairs(sets) do redis.pcall('ZREM', set, member) end
end

-- Revokes `link`, a table with key, id, state and sends, and takes back the e-mail that it owes. It
-- stays in the indexes and queues that contain it. `states` are scheduled, queued and none. Where
-- `revoked` holds another type, it changes nothing.
local function revoke_link(link, now, now_text, gone_at, states, revoked, org)
  local scheduled, queued, none = unpack(states)
  redis.call('ZADD', revoked, now, link.id)
  match_ttl(revoked, redis.call('PEXPIRETIME', org))
  redis.call('HSET', link.key, 'revoked', now_text)
  redis.call('PEXPIREAT', link.key, gone_at)
  if link.state == scheduled or link.state == queued then
    local sends = link.sends or 1 -- the default of a link without a mail is 0
    redis.call('HSET', link.key, 'state', none, 'sends', sends)
    redis.call('HDEL', link.key, 'retry')
  end
end

-- Owes the e-mail of a link again, due at `at` (ms).
local function queue_again(link, id, queued, at, outbox, failed)
  redis.call('ZADD', outbox, at, id)
  extend_ttl(outbox, redis.call('PEXPIRETIME', link))
  redis.pcall('ZREM', failed, id)
  redis.call('HSET', link, 'state', queued)
end

-- The same, as another send, which begins without attempts. `sends` and `state` are the link's, `none`
-- is the state of one whose e-mail was never asked for: its reminders count from its creation. Logs
-- `event`, and returns how many sends there are now.
local function send_again(link, id, sends, state, none, queued, at, outbox, failed, events, event)
  queue_again(link, id, queued, at, outbox, failed)
  if state == none and not sends then
    redis.call('HSET', link, 'first', redis.call('HGET', link, 'created'))
  end
  sends = (sends or (state == none and 0 or 1)) + 1
  redis.call('HSET', link, 'sends', sends, 'attempts', 0)
  if redis.call('HDEL', link, 'unconfirmed') == 1 then redis.call('HSET', link, 'doubtful', 1) end
  redis.call('HDEL', link, 'error', 'retry')
  event[4] = '{"sends":' .. sends .. '}' -- its data
  add_event(events, at, id, event)
  return sends
end
