-- records(ids, deadlines): tasks as the clients read them, one list each: id, small fields, document, deadline, token and lease
-- (of who has it now, or had it), then, up to the last that one of these tasks has: dependencies, waiting, error,
-- result, checkpoint, progress, attempts, reason, escalation
local function records(ids, deadlines)
  if #ids == 0 then return {} end
  load(ids)
  local texts = #ids == 1 and {redis.call('HGET', documents, ids[1])} or redis.call('HMGET', documents, unpack(ids))
  local columns, last, flags = nil, 0, ''
  for _, id in ipairs(ids) do
    if known[id] and known[id][FLAGS] ~= '' then flags = flags .. known[id][FLAGS] end
  end
  if flags ~= '' then
    -- @include lib/side.lua
    columns = {'D', 'W', 'E', 'R', 'C', 'G', 'A', 'N', 'S'}
    for i, letter in ipairs(columns) do
      if string.find(flags, letter, 1, true) then columns[i], last = fetch(letter, ids), i else columns[i] = {} end
    end
  end
  local found = {nil}
  for i, id in ipairs(ids) do
    if known[id] then
      local text = not changed[id] and written[id] or text_of_task(known[id])
      local task = known[id]
      local row = {id, text, texts[i], deadlines[id] or false, task[TOKEN], task[LEASE]}
      if columns then
        for place = 1, last do row[6 + place] = columns[place][id] or false end
        if known[id][STATE] == 'completed' and not row[13] then
          -- @include lib/first_attempt.lua
          for place = last + 1, 6 do row[6 + place] = false end
          row[13] = first_attempt(known[id]) or false
        end
      end
      found[#found + 1] = row
    end
  end
  return found
end
