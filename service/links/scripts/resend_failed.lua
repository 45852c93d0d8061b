-- Owes the e-mails of an organization's active links again that were given up, each as another send.
-- KEYS failed, outbox
--      events: the organization's log
--      links: what the keys of the partition's links begin with. They lie in the same slot; which of
--      them are read is known only here.
--      idempotency: the record of the request, if it has an idempotency key
-- ARGV organization, now (ms), now (text)
--      since, until_at: when failures count (ms)
--      limit: how many are looked at
--      score, cursor: of the last one looked at, its local id ('' for the first call)
--      the delivery states failed, queued and none
--      event: that a link is sent again
-- Returns {how many were queued, how many by all calls with the idempotency key, score and local id
--      of the last one looked at ('' if it was the last)}.
local failed_index, outbox, events, links, idempotency = unpack(KEYS)
local org, now, now_text, since, until_at, limit, score, cursor = unpack(ARGV, 1, 8)
local failed, queued, none = unpack(ARGV, 9, 11)
local event = {unpack(ARGV, 12)}

local first =
  redis.call('ZCARD', failed_index) - redis.call('ZCOUNT', failed_index, '-inf', until_at)
local last = first + redis.call('ZCOUNT', failed_index, since, until_at) - 1
local start = cursor == '' and first or math.max(first, rank_after(failed_index, cursor, score))
local stop = math.min(start + limit - 1, last)
local ids = start <= stop and redis.call('ZREVRANGE', failed_index, start, stop) or {}
local next_score = stop < last and redis.call('ZSCORE', failed_index, ids[#ids]) or ''

local count_queued = 0
for _, id in ipairs(ids) do
  local link = links .. id
  local record = redis.pcall('HMGET', link, 'org', 'expires', 'revoked', 'paid', 'state', 'sends')
  local link_org, expires, revoked, paid, state, sends = unpack(record)
  if link_org == org and state == failed and not (revoked or paid) and expires > now_text then
    send_again(link, id, sends, state, none, queued, now, outbox, failed_index, events, event)
    count_queued = count_queued + 1
  end
end
local queued_by_request = count_queued
if idempotency and find_request(idempotency) then
  queued_by_request = redis.call('HINCRBY', idempotency, 'queued', count_queued)
end
return {count_queued, queued_by_request, next_score, ids[#ids] or ''}
