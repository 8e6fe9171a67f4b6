-- fail_claim(id, token, text, retry, spread): end a claim with a charge; retry is 'retry' or 'final'.
-- Returns the outcome, or nil and a refusal.
-- @include lib/claimed.lua
-- charging: charge, once the first failure has needed it.
local charging

local function fail_claim(id, token, text, retry, spread)
  local task, refused = claimed(id, token)
  if not task then
    -- @include lib/recall_ending.lua
    return recall_ending(id, token, 'fail', refused)
  end
  if not charging then
    -- @include lib/charge.lua
    charging = charge
  end
  charging(id, task, 'failed', 'fail', text, retry == 'retry', tonumber(spread) or 0)
  return public(task) .. ' ' .. task[RETRIES] .. ' ' .. task[AVAILABLE]
end
