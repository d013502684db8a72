-- ARGV: queue, task, fence, delay in ms.
local q = queue(1)
local r = held(q, ARGV[2], ARGV[1], ARGV[3])
if not r then return {'lost'} end
call('ZREM', q.leased, r.id)
call('HDEL', claims, r.claim)
r.delay = ARGV[4]
put(q, {r})
return {'ok'}
