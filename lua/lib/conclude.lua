-- conclude(): write all that is still gathered, then tell the others. The last call of every script that changes something.
local function conclude()
  commit()
  set_alarms()
  leave_marks()
  publish_events()
  send_signals()
end
