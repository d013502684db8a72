-- Reads events of a topic.
-- KEYS: the stream, the topic's facts. ARGV: the first ID, most events.
-- Returns the note of a delete, empty if there is none, and the ID and the event of
-- each.
local found = {redis.call('HGET', KEYS[2], 'deleted') or ''}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  found[#found + 1] = entry[1]
  found[#found + 1] = entry[2][2]
end
return found
