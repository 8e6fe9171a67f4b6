-- setting(name): a setting of the queue, or its default. Durations are stored in ms. settings_of() reads all that a script
-- needs in one call; a queue that was never configured spares even that. The defaults stand here and nowhere else.
local chosen = {}

local function default(name)
  if name == 'payload_bytes' or name == 'checkpoint_bytes' or name == 'result_bytes' then return 1048576 end
  if name == 'document_bytes' then return 2097152 end
  if name == 'decision_report' then return 'required' end
  if name == 'decision_report_keys' then return '' end
  if name == 'keep_ms' then return 604800000 end
  if name == 'keep_count' then return 100000 end
  if name == 'tombstone_ms' then return 2592000000 end
  if name == 'longest_hold_ms' then return 21600000 end
  if name == 'longest_slowdown_ms' then return 1800000 end
  if name == 'backoff_jitter' then return 0 end
  if name == 'breaker' then return '5 300000 60000 dead-letter' end
  return false
end

local function settings_of(...)
  if not state.configured then return end
  local names, missing = {...}, {}
  for _, name in ipairs(names) do
    if chosen[name] == nil then missing[#missing + 1] = name end
  end
  if #missing == 0 then return end
  for i, value in ipairs(redis.call('HMGET', settings, unpack(missing))) do
    local name = missing[i]
    local usual = default(name)
    if not value then value = usual
    elseif tonumber(usual) then value = tonumber(value) end
    chosen[name] = value
  end
end

local function setting(name)
  if not state.configured then return default(name) end
  if chosen[name] == nil then settings_of(name) end
  return chosen[name]
end
