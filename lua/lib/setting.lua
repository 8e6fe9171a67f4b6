-- setting(name): a setting of the queue, or its default. Durations are stored in ms. settings_of() reads all that a script
-- needs in one call; a queue that was never configured spares even that. The defaults stand here and nowhere else.
local chosen = {}

local DEFAULTS = {
  payload_bytes = 1048576, checkpoint_bytes = 1048576, result_bytes = 1048576, document_bytes = 2097152,
  decision_report = 'required', decision_report_keys = '', keep_ms = 604800000, keep_count = 100000,
  tombstone_ms = 2592000000, longest_hold_ms = 21600000, longest_slowdown_ms = 1800000, backoff_jitter = 0,
  breaker = '5 300000 60000 dead-letter',
}

local function settings_of(...)
  if not state.configured then return end
  local names, missing = {...}, {}
  for _, name in ipairs(names) do
    if chosen[name] == nil then missing[#missing + 1] = name end
  end
  if #missing == 0 then return end
  for i, value in ipairs(redis.call('HMGET', settings, unpack(missing))) do
    local name = missing[i]
    local usual = DEFAULTS[name]
    if not value then value = usual or false
    elseif tonumber(usual) then value = tonumber(value) end
    chosen[name] = value
  end
end

local function setting(name)
  if not state.configured then return DEFAULTS[name] end
  if chosen[name] == nil then settings_of(name) end
  return chosen[name]
end
