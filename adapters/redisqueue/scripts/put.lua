-- What changes where a task is.

-- ticks returns n numbers that were never given before: the time and those after
-- it, or those after the last one if that is higher. They have a fixed width, to be
-- compared as text.
local function ticks(n)
  local last, list = math.max(tonumber(call('GET', clock) or 0), micros - 1), {}
  for i = 1, n do list[i] = string.format('%016.0f', last + i) end
  call('SET', clock, list[n])
  return list
end

local function write(records)
  local fields = {}
  for i, r in ipairs(records) do
    fields[2 * i - 1] = r.id
    fields[2 * i] = 'priority=' .. r.priority .. ' arrival=' .. r.arrival .. ' deliveries=' .. r.deliveries ..
      ' fence=' .. r.fence .. ' claim=' .. r.claim .. ' cancelled=' .. r.cancelled .. ' queue=' .. r.queue
  end
  call('HSET', tasks, unpack(fields))
end

-- wake leaves a marker for one who waits at the queue. It is of no use for long:
-- whoever starts to wait has looked before.
local function wake(q)
  if call('ZADD', q.wake, '0', 'look') == 1 then call('PEXPIRE', q.wake, '10000') end
end

-- soon reports whether those who wait have to be told of a deadline: they look
-- by themselves every second.
local function soon(at) return at - now < 2000 end

-- place returns the score and the member of a task that waits: the highest priority
-- first, then what has been due for longest, then what arrived first.
local function place(r, due) return (100 - r.priority) * 2 ^ 44 + due, r.arrival .. r.id end

-- put makes tasks wait, each after its delay if it has one.
local function put(q, records)
  local ready, delayed, first = {}, {}, math.huge
  for _, r in ipairs(records) do
    local at = now
    if r.delay == '0' then
      ready[#ready + 1], ready[#ready + 2] = place(r, at)
    else
      at = later(r.delay)
      delayed[#delayed + 1], delayed[#delayed + 2] = at, r.id
    end
    first = math.min(first, at)
  end
  if ready[1] then call('ZADD', q.ready, unpack(ready)) end
  if delayed[1] then call('ZADD', q.delayed, unpack(delayed)) end
  if soon(first) then wake(q) end
end

