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
    line = line .. ' ' .. string.gsub(cut(text, 200), '%c', ' ')
  end
  lines[#lines + 1] = line
end
