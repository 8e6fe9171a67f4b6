-- take: the steps of a claim, which claim and exchange share. Needs agent, host, names, limit and lease; sets rows: a row
-- per task, {record …, token, lease}, or {false, reason, ms until time alone can change that, or false}.
-- A step is a block, not a function: each function costs a script time whenever it starts, and a step runs once.
-- @include lib/breaker.lua
local rows
-- @include lib/tidy.lua
-- @include lib/carry_on.lua
-- @include lib/stopped.lua
if not rows then
  -- @include lib/choose.lua
  if #chosen_ids == 0 then
    -- @include lib/refused_claim.lua
    rows = refused_claim()
  else
    -- @include lib/grant.lua
    -- @include lib/pass_on.lua
    -- @include lib/record.lua
    rows = records(granted, deadlines)
  end
end
-- Whoever was refused may wait now. Once in 5 s is enough, and spares the append-only file a write for each of them.
if not rows[1] and not (waited and now - waited < 5000) then hset(queue, 'waited', now) end
