-- Removes a topic and tells its readers. A note of when stays for as long as the
-- topic would have, and a minute at least: for readers who have no place in the
-- stream that could be missing, and who may be out of reach just now.
-- KEYS: the stream, the topic's facts.
local left = math.max(redis.call('PTTL', KEYS[2]), 60000)
local time = redis.call('TIME')
-- First: a memory that is full does not refuse what follows a DEL.
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], 'deleted', string.format('%.0f', time[1] * 1000000 + time[2]))
redis.call('PEXPIRE', KEYS[2], left)
redis.call('PUBLISH', KEYS[1], 'deleted')
return ''
