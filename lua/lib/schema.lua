-- state: the queue's own fields; the script ends here when the data was written under another schema.
local SCHEMA = '1'
local state = {}
do
  local names = {'schema', 'paused', 'slowdown', 'reaped', 'grace', 'floor', 'sequence'}
  local values = redis.call('HMGET', queue, unpack(names))
  for i, name in ipairs(names) do state[name] = values[i] or nil end
  if state.schema and state.schema ~= SCHEMA then
    return {err = 'SchemaMismatch ' .. cjson.encode({
      message = 'the queue is stored under schema ' .. state.schema .. ', this client knows ' .. SCHEMA
        .. ': use the lokiredis version that wrote it, or export there and import here'
    })}
  end
end
