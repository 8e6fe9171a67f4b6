-- grant: lease the chosen tasks to the agent; at most 8 MiB of them, the rest stays ready. Sets granted, their ids, and
-- deadlines (id -> ms).
-- Tables with room for what one task leaves: to let them grow takes longer than to write it.
local granted, deadlines, bytes, texts_of = {nil}, {id = nil}, 0, {[now] = stamp, lease = nil}
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
if direct then load_one(chosen_ids[1]) else load(chosen_ids) end
for i = 1, #chosen_ids do
  local REPLY_BYTES = 8388608
  local id = chosen_ids[i]
  local task = known[id]
  bytes = bytes + task[BYTES]
  if bytes > REPLY_BYTES and i > 1 then break end
  local type, length = task[TYPE], tonumber(task[TIMEOUT])
  local limit_at = text_of(now + length)
  local lease_text, ends = task[TIMEOUT], limit_at
  if lease and lease < length then lease_text, ends = text_of(lease), text_of(now + lease) end
  -- A token grows with every claim, also over a lost write or a reused id, since the clock has gone on by then.
  local before, token = task[TOKEN], nil
  if before == '' and floor <= now then token = stamp else token = text_of(math.max((tonumber(before) or 0) + 1, floor, now)) end
  task[TOKEN], task[AGENT], task[HOST], task[CLAIMED], task[LEASE], task[LIMIT] = token, agent, host, stamp, lease_text, limit_at
  transition(id, task, 'leased', ends)
  if gates[type] == 'probe' then
    -- @include lib/breaker_change.lua
    local words = breaker(type)
    words[HALF_OPENED], words[PROBE], words[PROBE_TOKEN] = now, id, token
    change_breaker(type, words, 'half-open')
  end
  tell('claimed ' .. id .. ' ' .. type .. ' ' .. agent .. ' ' .. token)
  granted[i], deadlines[id] = id, ends
end
write_tasks()
