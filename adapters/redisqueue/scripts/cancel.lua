-- ARGV: task, the queue that the keys are of.
local q = queue(1)
local r = read(ARGV[1])
if not r then return {'missing'} end
if r.queue ~= ARGV[2] then return {'elsewhere', r.queue} end
if expiry(q, r.id) > 0 then
  r.cancelled = 'yes'
  call('HDEL', tasks, r.id)
  write(r)
  return {'leased'}
end
call('ZREM', q.ready, r.arrival .. r.id)
call('ZREM', q.delayed, r.id)
call('ZREM', q.leased, r.id)
forget(r)
return {'waiting'}
