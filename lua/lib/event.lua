-- event(kind, id, type, agent, token, text): a line for the event stream; '-' stands for "none". conclude writes the
-- lines of a whole call as one entry.
local lines, line_count = {}, 0
local messages
-- last_text, last_cut: the text of the last line, and as the line holds it: a failure and the death that it brings have the same.
local last_text, last_cut

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
    if text ~= last_text then
      -- @include lib/cut.lua
      last_text, last_cut = text, cut(text, 200)
      -- Nearly every text is clean; to see that takes a third of the time.
      if not string.find(last_cut, '^%C*$') then last_cut = string.gsub(last_cut, '%c', ' ') end
    end
    line = line .. ' ' .. last_cut
  end
  tell(line)
end
