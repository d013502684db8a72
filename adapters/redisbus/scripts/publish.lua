-- Appends an event to a topic, unless it is there, and tells its readers.
-- KEYS: the stream, the topic's facts.
-- ARGV: publisher, its number of this event, event, most events, time to live in ms.
local facts = redis.call('HMGET', KEYS[2], 'last', ARGV[1])
local last, mine = facts[1] or '0-0', facts[2]
if mine then
  local number, id = string.match(mine, '^(%d+) (.+)$')
  if tonumber(ARGV[2]) <= tonumber(number) then
    -- It was sent again because the answer was lost. Or it was long under way, and
    -- nobody waits for an answer: its publisher has gone on.
    return id
  end
end
local before, n = string.match(last, '^(%d+)-(%d+)$')
local time = redis.call('TIME')
local us = math.max(time[1] * 1000000 + time[2], tonumber(before))
local id = string.format('%.0f-%.0f', us, n + 1)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], id, 'e', ARGV[3])
redis.call('HSET', KEYS[2], 'last', id, ARGV[1], ARGV[2] .. ' ' .. id)
-- One instant for both, so that they vanish together.
local expires = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5])
redis.call('PEXPIREAT', KEYS[1], expires)
redis.call('PEXPIREAT', KEYS[2], expires)
redis.call('PUBLISH', KEYS[1], last .. ' ' .. id .. ' ' .. ARGV[3])
return id
