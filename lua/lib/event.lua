-- event(kind, id, type, agent, token, text): a line for the event stream; '-' stands for "none". conclude() writes the
-- lines of a whole call as one entry.
local lines = {}

local function word(value)
  if not value or value == '' then return '-' end
  return value
end

local function event(kind, id, type, agent, token, text)
  local line = kind .. ' ' .. word(id) .. ' ' .. word(type) .. ' ' .. word(agent) .. ' ' .. word(token)
  if text and text ~= '' then line = line .. ' ' .. string.gsub(cut(text, 200), '%c', ' ') end
  lines[#lines + 1] = line
end
