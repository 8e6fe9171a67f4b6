-- grant: lease the chosen tasks to the agent; at most 8 MiB of them, the rest stays ready. Sets granted, their ids, and
-- deadlines (id -> ms).
local granted, deadlines, bytes, texts_of = {}, {}, 0, {[now] = stamp}
local function text_of(number)
  local text = texts_of[number]
  if not text then
    text = string.format('%d', number)
    texts_of[number] = text
  end
  return text
end
if #chosen_ids == 1 then direct = true end
local floor = (tonumber(state.floor) or 0) + 1
load(chosen_ids)
for _, id in ipairs(chosen_ids) do
  local REPLY_BYTES = 8388608
  local task = known[id]
  bytes = bytes + task[BYTES]
  if bytes > REPLY_BYTES and #granted > 0 then break end
  local type, length = task[TYPE], tonumber(task[TIMEOUT])
  local limit_at = now + length
  local lease_text = task[TIMEOUT]
  if lease and lease < length then length, lease_text = lease, text_of(lease) end
  -- A token grows with every claim, also over a lost write or a reused id, since the clock has gone on by then.
  task[TOKEN] = text_of(math.max((tonumber(task[TOKEN]) or 0) + 1, floor, now))
  task[AGENT], task[HOST], task[CLAIMED], task[LEASE], task[LIMIT] = agent, host, stamp, lease_text, text_of(limit_at)
  local ends = text_of(now + length)
  transition(id, task, 'leased', ends)
  if gates[type] == 'probe' then
    -- @include lib/breaker_change.lua
    local words = breaker(type)
    words[HALF_OPENED], words[PROBE], words[PROBE_TOKEN] = now, id, task[TOKEN]
    change_breaker(type, words, 'half-open')
  end
  event('claimed', id, type, agent, task[TOKEN])
  granted[#granted + 1], deadlines[id] = id, ends
end
