-- Removes a topic and tells its readers when.
-- KEYS: the stream, the topic's facts.
redis.call('DEL', KEYS[1], KEYS[2])
local time = redis.call('TIME')
redis.call('PUBLISH', KEYS[1], 'deleted ' .. string.format('%.0f', time[1] * 1000000 + time[2]))
return ''
