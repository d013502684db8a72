-- ARGV: queue, the tasks, their priorities, their delays in ms.
-- A task that is there already stays as it is.
local n = (#ARGV - 1) / 3
local there, new, seen = call('HMGET', tasks, unpack(ARGV, 2, n + 1)), {}, {}
for i = 1, n do
  local id = ARGV[1 + i]
  if not there[i] and not seen[id] then
    seen[id] = true
    new[#new + 1] = {
      id = id, queue = ARGV[1], priority = ARGV[1 + n + i], delay = ARGV[1 + 2 * n + i],
      arrival = '', deliveries = 0, fence = 0, claim = '-', cancelled = 'no',
    }
  end
end
if new[1] then
  for i, arrival in ipairs(ticks(#new)) do new[i].arrival = arrival end
  write(new)
  put(queue(1), new)
end
return {'ok'}
