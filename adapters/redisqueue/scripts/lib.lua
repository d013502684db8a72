-- What all scripts share; it stands in front of each. What only some share is in
-- files of its own, since even a function that is not called takes time to make.
--
-- KEYS: tasks, clock, claims, paused; then of each queue: ready, delayed,
-- leased, wake. The first write of a script is one that a Redis whose memory is
-- full allows, except in enqueue: it then allows the others too, so that a full
-- queue can be worked off.
--
-- Most of the time goes into making calls, tables and numbers, and not into what is
-- asked for: so one call serves many tasks, and constants are text.
local tasks, clock, claims, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call = redis.call

-- The one clock of the queue: microseconds, and the milliseconds that have passed.
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

-- later returns the millisecond at which ms have passed, never earlier.
local function later(ms) return math.ceil(micros / 1000) + ms end

-- queue returns the keys of the i-th queue.
local function queue(i)
  return {ready = KEYS[4 * i + 1], delayed = KEYS[4 * i + 2], leased = KEYS[4 * i + 3], wake = KEYS[4 * i + 4]}
end

-- read returns the records of tasks, false for one that has none. The queue's name
-- comes last, since it may hold anything.
local function read(...)
  local ids, records = {...}, call('HMGET', tasks, ...)
  for i, text in ipairs(records) do
    if text then
      local priority, arrival, deliveries, fence, claim, cancelled, queue = string.match(text,
        '^priority=(%-?%d+) arrival=(%d+) deliveries=(%d+) fence=(%d+) claim=(%S+) cancelled=(%a+) queue=(.*)$')
      records[i] = queue and {
        id = ids[i], priority = priority, arrival = arrival, deliveries = deliveries,
        fence = fence, claim = claim, cancelled = cancelled, queue = queue,
      } or false
    end
  end
  return records
end

