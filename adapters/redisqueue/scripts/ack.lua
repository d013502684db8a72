-- ARGV: queue, the tasks, the fences of their leases.
-- Says of each what became of it: a lease that is named twice is lost the second time.
local q, n = queue(1), (#ARGV - 1) / 2
local expiries = call('ZMSCORE', q.leased, unpack(ARGV, 2, n + 1))
local ids, names, verdicts, seen = {}, {}, {}, {}
for i, r in ipairs(read(unpack(ARGV, 2, n + 1))) do
  verdicts[i] = 'lost'
  if r and r.queue == ARGV[1] and r.fence == ARGV[1 + n + i] and tonumber(expiries[i] or 0) > now and not seen[r.id] then
    ids[#ids + 1], names[#names + 1], verdicts[i], seen[r.id] = r.id, r.claim, 'ok', true
  end
end
if ids[1] then
  call('ZREM', q.leased, unpack(ids))
  call('HDEL', tasks, unpack(ids))
  call('HDEL', claims, unpack(names))
end
return verdicts
