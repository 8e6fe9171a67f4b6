-- state: the queue's own fields; the script ends here when the data was written under another schema.
local SCHEMA = '1'
local state
do
  local found = redis.call('HMGET', queue, 'schema', 'paused', 'slowdown', 'reaped', 'grace', 'floor', 'sequence',
    'configured', 'waited')
  state = {
    schema = found[1], paused = found[2], slowdown = found[3], reaped = found[4], grace = found[5], floor = found[6],
    sequence = found[7], configured = found[8], waited = found[9],
  }
  if found[1] and found[1] ~= SCHEMA then
    return {err = 'SchemaMismatch ' .. cjson.encode({
      message = 'the queue is stored under schema ' .. found[1] .. ', this client knows ' .. SCHEMA
        .. ': use the lokiredis version that wrote it, or export there and import here'
    })}
  end
end
