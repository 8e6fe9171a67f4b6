-- state: the queue's own fields; the script ends here when the data was written under another schema.
local SCHEMA = '2'
-- The table is made with room for them.
local state = {schema = nil, sequence = nil, reaped = nil, waited = nil, grace = nil, configured = nil, floor = nil, paused = nil}
do
  -- All of them: a few short fields, and to pick some out takes longer.
  local found = redis.call('HGETALL', queue)
  for i = 1, #found, 2 do state[found[i]] = found[i + 1] end
  if state.schema and state.schema ~= SCHEMA then
    return {err = 'SchemaMismatch ' .. cjson.encode({
      message = 'the queue is stored under schema ' .. state.schema .. ', this client knows ' .. SCHEMA
        .. ': use the lokiredis version that wrote it, or export there and import here'
    })}
  end
end
