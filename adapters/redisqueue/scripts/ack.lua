-- ARGV: task, queue, fence.
local q = queue(1)
local r = held(q, ARGV[1], ARGV[2], ARGV[3])
if not r then return {'lost'} end
call('ZREM', q.leased, r.id)
forget(r)
return {'ok'}
