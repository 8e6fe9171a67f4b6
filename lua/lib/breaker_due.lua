-- @include lib/setting.lua
-- breaker_setting(type): threshold, cooldown (ms), half-open time (ms), what counts. An override may name only some.
local function breaker_setting(type)
  settings_of('breaker', 'breaker:' .. type)
  local threshold, cooldown, half, count = string.match(setting('breaker'), '(%S+) (%S+) (%S+) (%S+)')
  local own = setting('breaker:' .. type)
  if own then
    local t, c, h, n = string.match(own, '(%S+) (%S+) (%S+) (%S+)')
    if t ~= '-' then threshold = t end
    if c ~= '-' then cooldown = c end
    if h ~= '-' then half = h end
    if n ~= '-' then count = n end
  end
  return tonumber(threshold), tonumber(cooldown), tonumber(half), count
end

-- breaker_due(type, words): from when an open breaker lets a probe through.
local function breaker_due(type, words)
  local _, cooldown, half = breaker_setting(type)
  local wait = 0
  if words[WAIT] == 'half' then wait = half elseif words[WAIT] == 'cool' then wait = cooldown end
  return words[OPENED] + wait
end
