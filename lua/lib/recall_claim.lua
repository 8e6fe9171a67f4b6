-- What is remembered of a claim: id, token, deadline and lease of each task; the documents are read again.
local function remembered_rows(rows)
  local lines_of = {}
  for i, row in ipairs(rows) do
    local task = known[row[1]]
    lines_of[i] = table.concat({row[1], task[TOKEN], row[#row - 2], task[LEASE]}, ' ')
  end
  return table.concat(lines_of, '\n')
end

local function recalled_rows(text)
  local ids, tokens, deadlines, leases = {}, {}, {}, {}
  for id, token, deadline, lease_ms in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+)') do
    ids[#ids + 1], tokens[id], deadlines[id], leases[id] = id, token, deadline, lease_ms
  end
  local rows = records(ids, deadlines)
  for _, row in ipairs(rows) do
    row[#row + 1] = tokens[row[1]]
    row[#row + 1] = leases[row[1]]
  end
  return rows
end
