-- The circuit breaker of a type (design rule 11): one string of words; no entry is a closed breaker without a failure.
-- WAIT says what must pass before an open breaker is due: 'half' halfOpenAfter, 'cool' cooldownSeconds, 'now' nothing.
-- SKIP is the probe that failed last: it gives way to the next ready task of its type.
local B_STATE, FAILURES, LAST_FAILURE, OPENED, HALF_OPENED, WAIT, PROBE, PROBE_TOKEN, SKIP = 1, 2, 3, 4, 5, 6, 7, 8, 9
local load_breakers, breaker, new_breaker, breaker_due, change_breaker, open_breaker, breaker_success, breaker_failure, return_probe
do
  local BREAKER = '^' .. string.rep('([^ ]*) ', SKIP - 1) .. '([^ ]*)$'
  local read_breakers = {}

  function load_breakers(names)
    local missing = {}
    for _, type in ipairs(names) do
      if read_breakers[type] == nil then
        read_breakers[type] = false
        missing[#missing + 1] = type
      end
    end
    if #missing == 0 then return end
    for i, text in ipairs(redis.call('HMGET', breakers, unpack(missing))) do
      if text then read_breakers[missing[i]] = {string.match(text, BREAKER)} end
    end
  end

  -- breaker(type): its words, or nil when it is closed without a failure.
  function breaker(type)
    if read_breakers[type] == nil then load_breakers({type}) end
    return read_breakers[type] or nil
  end

  function new_breaker()
    return {'closed', 0, '', '', '', '', '', '', ''}
  end

  local function save_breaker(type, words)
    read_breakers[type] = words
    hset(breakers, type, table.concat(words, ' '))
  end

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
  function breaker_due(type, words)
    local _, cooldown, half = breaker_setting(type)
    local wait = 0
    if words[WAIT] == 'half' then wait = half elseif words[WAIT] == 'cool' then wait = cooldown end
    return words[OPENED] + wait
  end

  -- Every change leaves a mark: somebody must learn the new state, or at least the new time to ask again.
  function change_breaker(type, words, to)
    words[B_STATE] = to
    if to ~= 'half-open' then words[PROBE], words[PROBE_TOKEN] = '', '' end
    save_breaker(type, words)
    event('breaker-' .. to, '', type, '', '', words[FAILURES] .. ' failures')
    mark(type)
  end

  function open_breaker(type, words, wait)
    words[OPENED], words[WAIT] = now, wait
    change_breaker(type, words, 'open')
  end

  local function is_probe(words, id, token)
    return words[B_STATE] == 'half-open' and words[PROBE] == id and words[PROBE_TOKEN] == tostring(token)
  end

  -- Outside closed only the probe moves the state: an older task that ends now says nothing about recovery.
  function breaker_success(type, id, token)
    local words = breaker(type)
    if not words then return end
    if words[B_STATE] == 'closed' then
      if words[FAILURES] ~= '0' and words[FAILURES] ~= 0 then
        words[FAILURES] = 0
        save_breaker(type, words)
      end
    elseif is_probe(words, id, token) then
      words[FAILURES], words[WAIT], words[SKIP] = 0, '', ''
      change_breaker(type, words, 'closed')
    end
  end

  function breaker_failure(type, id, token, died)
    local words = breaker(type) or new_breaker()
    if words[B_STATE] == 'closed' then
      local threshold, _, _, count = breaker_setting(type)
      if not died and count ~= 'attempt' then return end
      words[FAILURES], words[LAST_FAILURE] = words[FAILURES] + 1, now
      if words[FAILURES] >= threshold then open_breaker(type, words, 'half') else save_breaker(type, words) end
    elseif is_probe(words, id, token) then
      words[FAILURES], words[LAST_FAILURE], words[SKIP] = words[FAILURES] + 1, now, id
      open_breaker(type, words, 'cool')
    end
  end

  -- A probe that was handed back proved nothing: the breaker is due again at once, so that it can't stay half-open for ever.
  function return_probe(type, id, token)
    local words = breaker(type)
    if words and is_probe(words, id, token) then
      words[WAIT] = 'now'
      change_breaker(type, words, 'open')
    end
  end
end
