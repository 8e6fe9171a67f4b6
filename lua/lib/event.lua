-- event(kind, id, type, agent, token, text): a line for the event stream; '-' stands for "none". conclude writes the
-- lines of a whole call as one entry.
local lines, line_count = {}, 0
local messages

-- tell(line): a line that is known to be whole.
local function tell(line)
  line_count = line_count + 1
  lines[line_count] = line
end

local function event(kind, id, type, agent, token, text)
  if not id or id == '' then id = '-' end
  if not type or type == '' then type = '-' end
  if not agent or agent == '' then agent = '-' end
  if not token or token == '' then token = '-' end
  local line = kind .. ' ' .. id .. ' ' .. type .. ' ' .. agent .. ' ' .. token
  if text and text ~= '' then
    -- @include lib/cut.lua
    text = cut(text, 200)
    -- Nearly every text is clean; to see that takes a third of the time.
    if not string.find(text, '^%C*$') then text = string.gsub(text, '%c', ' ') end
    line = line .. ' ' .. text
  end
  tell(line)
end
