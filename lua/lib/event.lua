-- event(kind, id, type, agent, token, text): a line for the event stream; '-' stands for "none". conclude writes the
-- lines of a whole call as one entry.
local lines, messages = {}, nil

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
  lines[#lines + 1] = line
end
