-- recalled_rows(text): the answer of a claim that is repeated.
-- @include lib/record.lua
local function recalled_rows(text)
  local ids, tokens, deadlines, leases = {}, {}, {}, {}
  for id, token, deadline, lease_ms in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+)') do
    ids[#ids + 1], tokens[id], deadlines[id], leases[id] = id, token, deadline, lease_ms
  end
  local rows = records(ids, deadlines)
  for _, row in ipairs(rows) do
    row[5], row[6] = tokens[row[1]], leases[row[1]]
  end
  return rows
end
