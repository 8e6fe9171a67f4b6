-- The circuit breaker of a type (design rule 11): one string of words; no entry is a closed breaker without a failure.
-- WAIT says what must pass before an open breaker is due: 'half' halfOpenAfter, 'cool' cooldownSeconds, 'now' nothing.
-- SKIP is the probe that failed last: it gives way to the next ready task of its type.
local B_STATE, FAILURES, LAST_FAILURE, OPENED, HALF_OPENED, WAIT, PROBE, PROBE_TOKEN, SKIP = 1, 2, 3, 4, 5, 6, 7, 8, 9
local BREAKER = '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$'
local read_breakers = {}

local function load_breakers(names)
  if not rare then return end
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
local function breaker(type)
  if rare and read_breakers[type] == nil then load_breakers({type}) end
  return read_breakers[type] or nil
end
