-- ARGV: task, queue, priority, delay in ms.
if call('HEXISTS', tasks, ARGV[1]) == 1 then return {'ok'} end
local r = {
  id = ARGV[1], queue = ARGV[2], priority = ARGV[3],
  arrival = tick(), deliveries = 0, fence = 0, claim = '-', cancelled = 'no',
}
write(r)
put(queue(1), r, tonumber(ARGV[4]))
return {'ok'}
