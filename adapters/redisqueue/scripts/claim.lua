-- ARGV: the queues, the claims' names, their ttls in ms.
-- Returns the microseconds until it is worth looking again (-1: nothing is known
-- that becomes due), then of each lease: the number of its claim, task, queue,
-- fence, deliveries, expiry.
local count = #KEYS / 4 - 1
local n = (#ARGV - count) / 2
local queues = {}
for i = 1, count do queues[i] = queue(i) end

local reply = {0}
local function give(i, r, at) reply[#reply + 1] = {i, r.id, r.queue, r.fence, r.deliveries, at} end

-- again answers a claim as before, if the answer may have been lost on its way: if
-- the task that it was given is leased still.
local function again(i, id)
  local r = read(id)[1]
  for j, q in ipairs(queues) do
    local at = r and r.queue == ARGV[j] and expiry(q, id) or 0
    if at > 0 then
      r.deliveries = tonumber(r.deliveries)
      give(i, r, at)
      return true
    end
  end
  return false
end

local open = {} -- the numbers of the claims that have no answer yet
for i, id in ipairs(call('HMGET', claims, unpack(ARGV, count + 1, count + n))) do
  if not id or not again(i, id) then open[#open + 1] = i end
end

-- catch_up makes wait what has become due, and returns when the next one does. It
-- moves a hundred at most, so that no call keeps the server for long.
local function catch_up(q, deadlines)
  for _ = 1, 100 do
    local first = call('ZRANGE', deadlines, '0', '0', 'WITHSCORES')
    local id, at = first[1], tonumber(first[2])
    if not id then return math.huge end
    if at > now then return at end
    call('ZREM', deadlines, id)
    local r = read(id)[1]
    if r then
      call('HDEL', claims, r.claim)
      call('ZADD', q.ready, place(r, at))
    end
  end
  return now
end

-- Of each queue the best that wait are looked at, one more than there are claims.
for i, is in ipairs(call('SMISMEMBER', paused, unpack(ARGV, 1, count))) do
  local q = queues[i]
  q.next, q.best, q.taken, q.leases = math.huge, {}, 0, {}
  if is == 0 then
    q.next = math.min(catch_up(q, q.delayed), catch_up(q, q.leased))
    q.best = call('ZRANGE', q.ready, '0', #open, 'WITHSCORES')
  end
end

-- before reports whether the best that is left of a comes before that of b.
local function before(a, b)
  local i, j = 2 * a.taken, 2 * b.taken
  local x, y = tonumber(a.best[i + 2]), tonumber(b.best[j + 2])
  return x < y or x == y and string.sub(a.best[i + 1], 1, 16) < string.sub(b.best[j + 1], 1, 16)
end

local ids, sources = {}, {}
for i = 1, #open do
  local from
  for _, q in ipairs(queues) do
    if q.best[2 * q.taken + 1] and (not from or before(q, from)) then from = q end
  end
  if not from then break end
  ids[i], sources[i] = string.sub(from.best[2 * from.taken + 1], 17), from
  from.taken = from.taken + 1
end

local upcoming = math.huge
if ids[1] then
  for _, q in ipairs(queues) do
    if q.taken > 0 then call('ZREMRANGEBYRANK', q.ready, '0', q.taken - 1) end
  end
  local fences, leased, given = ticks(#ids), {}, {}
  for i, r in ipairs(read(unpack(ids))) do
    if r then
      local k, q = open[#leased + 1], sources[i]
      local at = later(ARGV[count + n + k])
      r.fence, r.deliveries, r.claim = fences[i], r.deliveries + 1, ARGV[count + k]
      leased[#leased + 1] = r
      given[#given + 1], given[#given + 2] = r.claim, r.id
      q.leases[#q.leases + 1], q.leases[#q.leases + 2] = at, r.id
      q.next = math.min(q.next, at)
      give(k, r, at)
    else
      upcoming = now -- somebody's hand removed its record
    end
  end
  if leased[1] then
    write(leased)
    call('HSET', claims, unpack(given))
  end
  -- The marker that led here stood for all that there is.
  for _, q in ipairs(queues) do
    if q.leases[1] then call('ZADD', q.leased, unpack(q.leases)) end
    if soon(q.next) or q.best[2 * q.taken + 1] then wake(q) end
  end
end
for _, q in ipairs(queues) do upcoming = math.min(upcoming, q.next) end
reply[1] = upcoming == math.huge and -1 or math.max(upcoming * 1000 - micros, 0)
return reply
