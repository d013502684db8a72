-- ARGV: claim, ttl in ms, the queues' names.
-- Returns the lease, or the microseconds until it is worth looking again (-1:
-- nothing is known that becomes due).
local claim, ttl = ARGV[1], tonumber(ARGV[2])

local function lease(r, at)
  return {'lease', r.id, r.queue, r.fence, tostring(r.deliveries), int(at)}
end

-- The answer to this very claim may have been lost on its way.
local given = call('HGET', claims, claim)
if given then
  local r = read(given)
  for i = 3, #ARGV do
    if r and r.queue == ARGV[i] then
      local at = expiry(queue(i - 2), given)
      if at > 0 then return lease(r, at) end
    end
  end
end

-- catch_up makes wait what has become due, and returns when the next one does. It
-- moves a hundred at most, so that no call keeps the server for long.
local function catch_up(q, deadlines)
  for _ = 1, 100 do
    local first = call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')
    local id, at = first[1], tonumber(first[2])
    if not id then return math.huge end
    if at > now then return at end
    call('ZREM', deadlines, id)
    local r = read(id)
    if r then
      call('HDEL', claims, r.claim)
      ready(q, r, at)
    end
  end
  return now
end

local queues, best, from = {}, nil, nil
local upcoming = math.huge
for i = 3, #ARGV do
  if call('SISMEMBER', paused, ARGV[i]) == 0 then
    local q = queue(i - 2)
    q.next = math.min(catch_up(q, q.delayed), catch_up(q, q.leased))
    upcoming = math.min(upcoming, q.next)
    queues[#queues + 1] = q
    local first = call('ZRANGE', q.ready, 0, 0, 'WITHSCORES')
    if first[1] then
      local b = {member = first[1], score = tonumber(first[2]), arrival = tonumber(string.sub(first[1], 1, 16))}
      if not best or b.score < best.score or b.score == best.score and b.arrival < best.arrival then
        best, from = b, q
      end
    end
  end
end

if not best then
  return {'none', upcoming == math.huge and '-1' or int(math.max(upcoming * 1000 - micros, 0))}
end

call('ZREM', from.ready, best.member)
local r = read(string.sub(best.member, 17))
if not r then return {'none', '0'} end -- somebody's hand removed its record
r.fence, r.deliveries, r.claim = tick(), r.deliveries + 1, claim
write(r)
call('HSET', claims, claim, r.id)
local at = later(ttl)
call('ZADD', from.leased, int(at), r.id)
from.next = math.min(from.next, at)

-- The marker that led here stood for all that there is.
for _, q in ipairs(queues) do
  if soon(q.next) or call('EXISTS', q.ready) == 1 then wake(q) end
end
return lease(r, at)
