-- release_claim(id, token, delay, text): hand a task back without a charge, for delay ms.
-- Returns the outcome, or nil and a refusal.
-- @include lib/claimed.lua
local LONGEST_DELAY = 315360000000

-- handing_back: hand_back, once the first release has needed it.
local handing_back

local function release_claim(id, token, delay, text)
  local task, refused = claimed(id, token)
  if not task then
    -- @include lib/recall_ending.lua
    return recall_ending(id, token, 'release', refused)
  end
  if not handing_back then
    -- @include lib/hand_back.lua
    handing_back = hand_back
  end
  delay = tonumber(delay)
  if not delay or not (delay >= 0 and delay <= LONGEST_DELAY) then
    return nil, refusal('InvalidTask', 'a delay is between 0 and 10 years', {id = id, field = 'delay'})
  end
  handing_back(id, task, 'release', delay, text)
  return public(task) .. ' ' .. task[RETRIES] .. ' ' .. task[AVAILABLE]
end
