-- Finds the event at which a subscription begins.
-- KEYS: the stream, the topic's facts. ARGV: start, now, or the ID of an event.
-- Returns its ID, empty if there is none, and the note of a delete, empty if there
-- is none.
local id
if ARGV[1] == 'now' then
  id = redis.call('HGET', KEYS[2], 'last')
elseif ARGV[1] == 'start' then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  id = first and first[1]
else
  local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
  id = found and found[1]
end
return {id or '', redis.call('HGET', KEYS[2], 'deleted') or ''}
