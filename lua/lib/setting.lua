-- setting(name): a setting of the queue, or its default. Durations are stored in ms. settings_of() reads all that a script
-- needs in one call. The defaults stand here and nowhere else.
local chosen = {}

local function defaults()
  return {
    payload_bytes = 1048576, checkpoint_bytes = 1048576, result_bytes = 1048576, document_bytes = 2097152,
    keep_ms = 604800000, keep_count = 100000, tombstone_ms = 2592000000,
    longest_hold_ms = 21600000, longest_slowdown_ms = 1800000,
    decision_report = 'required', decision_report_keys = '', backoff_jitter = 0,
    breaker = '5 300000 60000 dead-letter',
  }
end

local function settings_of(...)
  local names, missing = {...}, {}
  for _, name in ipairs(names) do
    if chosen[name] == nil then missing[#missing + 1] = name end
  end
  if #missing == 0 then return end
  local stored, default = redis.call('HMGET', settings, unpack(missing)), defaults()
  for i, value in ipairs(stored) do
    local name = missing[i]
    if not value then value = default[name] or false
    elseif tonumber(default[name]) then value = tonumber(value) end
    chosen[name] = value
  end
end

local function setting(name)
  if chosen[name] == nil then settings_of(name) end
  return chosen[name]
end
