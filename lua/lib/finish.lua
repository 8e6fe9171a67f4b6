-- finish(id, token, report, body): end a claim with success. report holds the keys of the decision report between newlines,
-- '' when there is none: the body itself stays an opaque string. Returns the outcome, or nil and a refusal.
local function report_gap(report)
  if setting('decision_report') ~= 'required' then return nil end
  if report == '' then return 'a completed task needs a non-empty decisionReport object' end
  for key in string.gmatch(setting('decision_report_keys'), '[^\n]+') do
    if not string.find(report, '\n' .. key .. '\n', 1, true) then return 'the decisionReport lacks ' .. key end
  end
end

local function finish(id, token, report, body)
  local task, refused = claimed(id, token)
  if not task then
    local again = known[id] and recall_ending(id, token, 'complete')
    if again then return again end
    return nil, refused
  end
  settings_of('decision_report', 'decision_report_keys', 'result_bytes')
  if #body > setting('result_bytes') then
    return nil, refusal('InvalidTask', 'a result may be at most ' .. setting('result_bytes') .. ' bytes', {id = id, field = 'result'})
  end
  keep(id, task, 'R', body)
  local gap = report_gap(report)
  if gap then
    raise(id, task, 'I')
    event('incomplete', id, task[TYPE], task[AGENT], token, gap)
    return nil, refusal('DecisionReportMissing', gap, {id = id})
  end
  lower(id, task, 'I')
  local agent = task[AGENT]
  task[ENDED], task[HANDBACKS] = now, 0
  transition(id, task, 'completed', now)
  add(tally, 'total:completed', 1)
  breaker_success(task[TYPE], id, token)
  close_attempt(id, task, 'completed', 'complete', '')
  if has(task, 'P') then zadd(todo, now, 'release ' .. id) end
  event('completed', id, task[TYPE], agent, token)
  return {'completed', task[RETRIES], task[AVAILABLE]}, nil, agent
end
