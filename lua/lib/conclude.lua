-- conclude: write all that is still gathered, then tell the others. The last step of every script that changes something.
commit()
if due_rung or leases_rung then
  -- @include lib/set_alarms.lua
  set_alarms()
end
if awaited then
  for type in pairs(marked) do redis.call('ZADD', prefix .. 'wake:' .. type, '0', '1') end
end
do
  local EVENTS_KEPT, LINES_PER_ENTRY = '10000', 100
  for first = 1, line_count, LINES_PER_ENTRY do
    local text = line_count == 1 and lines[1] or table.concat(lines, '\n', first, math.min(first + LINES_PER_ENTRY - 1, line_count))
    redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', stamp, 'events', text)
  end
end
if messages then
  for _, message in ipairs(messages) do redis.call('PUBLISH', signals, message) end
end
