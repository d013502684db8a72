-- Returns how many wait, are delayed, are leased, and since when the oldest has
-- been due, in ms (-1: none waits). What is due counts as waiting wherever it is.
local q = queue(1)
local waiting, oldest = call('ZCARD', q.ready), math.huge

local function due(deadlines)
  local n = call('ZCOUNT', deadlines, '-inf', now)
  if n > 0 then
    waiting = waiting + n
    oldest = math.min(oldest, tonumber(call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]))
  end
  return call('ZCARD', deadlines) - n
end
local delayed, leased = due(q.delayed), due(q.leased)

-- The first of each priority is the oldest of it.
local from = '-inf'
while true do
  local first = call('ZRANGEBYSCORE', q.ready, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then break end
  local score = tonumber(first[2])
  local rank = math.floor(score / 2 ^ 44)
  oldest = math.min(oldest, score - rank * 2 ^ 44)
  from = (rank + 1) * 2 ^ 44
end
return {waiting, delayed, leased, oldest == math.huge and -1 or math.max(now - oldest, 0)}
