-- fail_claim(id, token, text, retry, spread): end a claim with a charge; retry is 'retry' or 'final'.
-- Returns the outcome, or nil and a refusal.
-- @include lib/claimed.lua
local function fail_claim(id, token, text, retry, spread)
  local task, refused = claimed(id, token)
  if not task then
    -- @include lib/recall_ending.lua
    return recall_ending(id, token, 'fail', refused)
  end
  -- @include lib/charge.lua
  charge(id, task, 'failed', 'fail', text, retry == 'retry', tonumber(spread) or 0)
  return {public(task), task[RETRIES], task[AVAILABLE]}
end
