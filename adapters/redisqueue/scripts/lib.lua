-- What all scripts share; it stands in front of each.
--
-- KEYS: tasks, clock, claims, paused; then of each queue: ready, delayed,
-- leased, wake. The first write of a script is one that a Redis whose memory is
-- full allows, except in enqueue: it then allows the others too, so that a full
-- queue can be worked off.
local tasks, clock, claims, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call = redis.call

-- The one clock of the queue: microseconds, and the milliseconds that have passed.
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

-- int writes a whole number; tostring keeps no more than 14 digits.
local function int(n) return string.format('%.0f', n) end

-- later returns the millisecond at which ms have passed, never earlier.
local function later(ms) return math.ceil(micros / 1000) + ms end

-- tick returns a number that was never given before: the time, or one more than
-- the last if that is higher. It has a fixed width, to be compared as text.
local function tick()
  local last = tonumber(call('GET', clock) or 0)
  local n = string.format('%016.0f', math.max(last + 1, micros))
  call('SET', clock, n)
  return n
end

-- queue returns the keys of the i-th queue.
local function queue(i)
  return {ready = KEYS[4 * i + 1], delayed = KEYS[4 * i + 2], leased = KEYS[4 * i + 3], wake = KEYS[4 * i + 4]}
end

-- read returns the record of a task, or nil. The queue's name comes last, since
-- it may hold anything.
local function read(id)
  local text = call('HGET', tasks, id)
  if not text then return nil end
  local r = {id = id}
  r.priority, r.arrival, r.deliveries, r.fence, r.claim, r.cancelled, r.queue = string.match(text,
    '^priority=(%-?%d+) arrival=(%d+) deliveries=(%d+) fence=(%d+) claim=(%S+) cancelled=(%a+) queue=(.*)$')
  return r.queue and r
end

local function write(r)
  call('HSET', tasks, r.id, 'priority=' .. r.priority .. ' arrival=' .. r.arrival .. ' deliveries=' .. r.deliveries ..
    ' fence=' .. r.fence .. ' claim=' .. r.claim .. ' cancelled=' .. r.cancelled .. ' queue=' .. r.queue)
end

-- forget removes the record of a task and the claim that it was given to.
local function forget(r)
  call('HDEL', tasks, r.id)
  call('HDEL', claims, r.claim)
end

-- wake leaves a marker for one who waits at the queue. It is of no use for long:
-- whoever starts to wait has looked before.
local function wake(q)
  if call('ZADD', q.wake, 0, 'look') == 1 then call('PEXPIRE', q.wake, 10000) end
end

-- soon reports whether those who wait have to be told of a deadline: they look
-- by themselves every second.
local function soon(at) return at - now < 2000 end

-- ready puts a task among those that wait: the highest priority first, then what
-- has been due for longest, then what arrived first.
local function ready(q, r, due)
  call('ZADD', q.ready, int((100 - r.priority) * 2 ^ 44 + due), r.arrival .. r.id)
end

-- put makes a task wait, after a delay if there is one.
local function put(q, r, delay)
  local at = now
  if delay == 0 then
    ready(q, r, at)
  else
    at = later(delay)
    call('ZADD', q.delayed, int(at), r.id)
  end
  if soon(at) then wake(q) end
end

-- expiry returns when the lease of a task ends, or 0 if it has none any more.
local function expiry(q, id)
  local at = tonumber(call('ZSCORE', q.leased, id) or 0)
  return at > now and at or 0
end

-- held returns the record of the task if this lease of it is good, else nil.
local function held(q, id, name, fence)
  local r = read(id)
  if r and r.queue == name and r.fence == fence and expiry(q, id) > 0 then return r end
  return nil
end
