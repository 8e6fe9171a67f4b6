-- report_gap(report): what a decision report lacks, nil when nothing (design rule 14). report holds its keys between newlines.
-- @include lib/setting.lua
local function report_gap(report)
  if setting('decision_report') ~= 'required' then return nil end
  if report == '' then return 'a completed task needs a non-empty decisionReport object' end
  local keys = setting('decision_report_keys')
  if keys == '' then return nil end
  for key in string.gmatch(keys, '[^\n]+') do
    if not string.find(report, '\n' .. key .. '\n', 1, true) then return 'the decisionReport lacks ' .. key end
  end
end
