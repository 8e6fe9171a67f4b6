-- finish(id, token, report, body): end a claim with success. report holds the keys of the decision report between newlines,
-- '' when there is none: the body itself stays an opaque string. Returns the outcome, or nil and a refusal.
-- @include lib/claimed.lua
-- @include lib/report_gap.lua
-- @include lib/breaker_success.lua
-- @include lib/ledger.lua
-- @include lib/side_write.lua
-- @include lib/setting.lua
-- @include lib/side.lua
-- @include lib/leave_release.lua
-- any_dependents: false when the script knows that none of its tasks has any.
local any_dependents = true

local function finish(id, token, report, body)
  local task, refused = claimed(id, token)
  if not task then
    -- @include lib/recall_ending.lua
    return recall_ending(id, token, 'complete', refused)
  end
  settings_of('decision_report', 'decision_report_keys', 'result_bytes', 'keep_ms', 'keep_count')
  if #body > setting('result_bytes') then
    return nil, refusal('InvalidTask', 'a result may be at most ' .. setting('result_bytes') .. ' bytes', {id = id, field = 'result'})
  end
  local gap = report_gap(report)
  if gap then
    -- The same once more, after a lost reply, is no news.
    if not (has(task, 'I') and side(id, 'R') == body) then
      keep(id, task, 'R', body)
      raise(id, task, 'I')
      event('incomplete', id, task[TYPE], task[AGENT], token, gap)
    end
    return nil, refusal('DecisionReportMissing', gap, {id = id})
  end
  -- Of a task that has nothing else nothing is to be looked for.
  local bare = task[FLAGS] == ''
  keep(id, task, 'R', body)
  if not bare then lower(id, task, 'I') end
  local agent = task[AGENT]
  task[ENDED], task[HANDBACKS] = stamp, '0'
  transition(id, task, 'completed', stamp)
  breaker_success(task[TYPE], id, token)
  if not bare and has(task, 'A') then close_attempt(id, task, 'completed', 'complete', '')
  else task[LEASE], task[LIMIT] = '', '' end
  if any_dependents then leave_release(id) end
  tell('completed ' .. id .. ' ' .. task[TYPE] .. ' ' .. agent .. ' ' .. token)
  return 'completed ' .. task[RETRIES] .. ' ', nil, agent
end
