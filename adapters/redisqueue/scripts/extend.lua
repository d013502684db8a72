-- ARGV: queue, task, fence, ttl in ms.
local q, at = queue(1), later(ARGV[4])
local r = held(q, ARGV[2], ARGV[1], ARGV[3])
if not r then return {'lost'} end
call('ZREM', q.leased, r.id)
call('ZADD', q.leased, at, r.id)
if soon(at) then wake(q) end
return {r.cancelled == 'yes' and 'cancelled' or 'ok', at}
