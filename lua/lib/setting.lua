-- setting(name): a setting of the queue, or its default. Durations are stored in ms. One call reads all that a script names
-- with settings_of(); the defaults stand here and nowhere else.
local DEFAULTS, settings_of, setting
do
  DEFAULTS = {
    payload_bytes = 1048576, checkpoint_bytes = 1048576, result_bytes = 1048576, document_bytes = 2097152,
    keep_ms = 604800000, keep_count = 100000, tombstone_ms = 2592000000,
    longest_hold_ms = 21600000, longest_slowdown_ms = 1800000,
    decision_report = 'required', decision_report_keys = '', backoff_jitter = 0,
    breaker = '5 300000 60000 dead-letter',
  }
  local chosen = {}

  function settings_of(...)
    local names, missing = {...}, {}
    for _, name in ipairs(names) do
      if chosen[name] == nil then missing[#missing + 1] = name end
    end
    if #missing == 0 then return end
    for i, value in ipairs(redis.call('HMGET', settings, unpack(missing))) do
      local default = DEFAULTS[missing[i]]
      if not value then value = default or false
      elseif type(default) == 'number' then value = tonumber(value) end
      chosen[missing[i]] = value
    end
  end

  function setting(name)
    settings_of(name)
    return chosen[name]
  end
end
