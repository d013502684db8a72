-- ARGV: the queue that the keys are of, task.
local q, id = queue(1), ARGV[2]
local r = read(id)[1]
if not r then return {'missing'} end
if r.queue ~= ARGV[1] then return {'elsewhere', r.queue} end
if expiry(q, id) > 0 then
  r.cancelled = 'yes'
  call('HDEL', tasks, id)
  write({r})
  return {'leased'}
end
call('ZREM', q.ready, r.arrival .. id)
call('ZREM', q.delayed, id)
call('ZREM', q.leased, id)
call('HDEL', tasks, id)
call('HDEL', claims, r.claim)
return {'waiting'}
