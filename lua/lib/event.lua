-- event(kind, id, type, agent, token, text): a line for the event stream; '-' stands for "none".
-- publish_events(): the lines of a whole call in one stream entry (100 lines each when there are more).
local word, event, publish_events
do
  local EVENTS_KEPT, LINES_PER_ENTRY = 10000, 100
  local lines = {}

  function word(value)
    if not value or value == '' then return '-' end
    return value
  end

  function event(kind, id, type, agent, token, text)
    local line = kind .. ' ' .. word(id) .. ' ' .. word(type) .. ' ' .. word(agent) .. ' ' .. word(token)
    if text and text ~= '' then line = line .. ' ' .. string.gsub(cut(text, 200), '%c', ' ') end
    lines[#lines + 1] = line
  end

  function publish_events()
    for first = 1, #lines, LINES_PER_ENTRY do
      local last = math.min(first + LINES_PER_ENTRY - 1, #lines)
      redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', now, 'events', table.concat(lines, '\n', first, last))
    end
    lines = {}
  end
end
