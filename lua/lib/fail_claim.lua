-- fail_claim(id, token, text, retry, spread): end a claim with a charge; retry is 'retry' or 'final'.
-- Returns the outcome, or nil and a refusal.
local function fail_claim(id, token, text, retry, spread)
  local task, refused = claimed(id, token)
  if not task then return known[id] and recall_ending(id, token, 'fail'), refused end
  charge(id, task, 'failed', 'fail', text, retry == 'retry', tonumber(spread) or 0)
  return {public(task), task[RETRIES], task[AVAILABLE]}
end
