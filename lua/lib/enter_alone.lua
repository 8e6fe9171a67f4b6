-- enter_alone(entry, sequence): store one new task without dependencies, as most calls bring. HSETNX tells while it writes
-- whether the id and the key are new, and HINCRBY whether the type is: to ask first took three calls of fourteen. false when
-- one of them is not: then all is taken back, and the way of a batch finds out what to answer.
-- @include lib/enter.lua
-- set_if_new(key, field, value): an error is no new one, either: where memory is full Redis 6.2 refuses the first write, and a
-- repeated call, or a duplicate, must be answered all the same.
local function set_if_new(key, field, value)
  return redis.pcall('HSETNX', key, field, value) == 1
end

local function enter_alone(entry, sequence)
  local id, digest, form = entry.id, entry.digest, entry.form
  if digest ~= '' and not set_if_new(unique, digest, id) then return false end
  local place, word = string.format('%d', sequence), first_state(form, false)
  if set_if_new(tasks, id, text_of_new(entry, word, '', #entry.document, place)) then
    if redis.call('HINCRBY', types, form.type, '1') > 1 or redis.call('HLEN', types) <= MOST_TYPES then
      direct = true
      arrive(id, form, sequence, word)
      enter_rest(entry, place)
      return true
    end
    increase(types, form.type, -1)
    redis.call('HDEL', tasks, id)
  end
  if digest ~= '' then redis.call('HDEL', unique, digest) end
  return false
end
