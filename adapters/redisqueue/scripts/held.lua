-- What knows whether a lease is good.

-- expiry returns when the lease of a task ends, or 0 if it has none any more.
local function expiry(q, id)
  local at = tonumber(call('ZSCORE', q.leased, id) or 0)
  return at > now and at or 0
end

-- held returns the record of the task if this lease of it is good, else nil.
local function held(q, id, name, fence)
  local r = read(id)[1]
  if r and r.queue == name and r.fence == fence and expiry(q, id) > 0 then return r end
  return nil
end

