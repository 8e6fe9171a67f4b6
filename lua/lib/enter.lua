-- enter(entry, sequence): store a new task of enqueue. Its small fields are written as text: most of them are the same for all
-- tasks of its form (lib/form.lua), and nobody reads them again in this call.
-- @include lib/arrive.lua
-- text_of_new(entry, word, flags, bytes, place): its small fields; word is its state, place its sequence.
local function text_of_new(entry, word, flags, bytes, place)
  local form = entry.form
  return word .. form.head .. flags .. ' ' .. bytes .. form.middle .. place .. form.tail .. entry.digest .. ' ' .. request
end

-- enter_rest(entry, place): what is written of every new task beside its small fields and its key.
local function enter_rest(entry, place)
  local id = entry.id
  hset(documents, id, entry.document)
  zadd(index, place, id)
  zrem_tombstone(id)
  entry.sequence = place
  tell('enqueued ' .. id .. entry.form.told)
end

local function enter(entry, sequence)
  local id, form, document = entry.id, entry.form, entry.document
  local flags, bytes, depends, waiting_now = '', #document, entry.depends, false
  if depends and depends[1] then
    local waits = entry.waits
    local names = ' ' .. table.concat(depends, ' ') .. ' '
    hset(dependencies, id, names)
    flags, bytes = 'D', bytes + #names
    if waits[1] then
      if #waits ~= #depends then names = ' ' .. table.concat(waits, ' ') .. ' ' end
      hset(waiting, id, names)
      flags, bytes, waiting_now = 'DW', bytes + #names, true
    end
  end
  local place = string.format('%d', sequence)
  local word = first_state(form, waiting_now)
  arrive(id, form, sequence, word)
  hset(tasks, id, text_of_new(entry, word, flags, bytes, place))
  if entry.digest ~= '' then hset(unique, entry.digest, id) end
  form.count = form.count + 1
  enter_rest(entry, place)
end
