-- remember_claim(request, rows): id, token, deadline and lease of each task; the documents are read again when need be.
local function remember_claim(request, rows)
  if request == '' then return end
  local lines_of = {nil}
  for i, row in ipairs(rows) do
    local task = known[row[1]]
    lines_of[i] = row[1] .. ' ' .. task[TOKEN] .. ' ' .. row[4] .. ' ' .. task[LEASE]
  end
  remember(request, table.concat(lines_of, '\n'))
end
