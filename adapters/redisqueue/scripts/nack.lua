-- ARGV: task, queue, fence, delay in ms.
local q = queue(1)
local r = held(q, ARGV[1], ARGV[2], ARGV[3])
if not r then return {'lost'} end
call('ZREM', q.leased, r.id)
call('HDEL', claims, r.claim)
put(q, r, tonumber(ARGV[4]))
return {'ok'}
