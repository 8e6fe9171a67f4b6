-- fetch_near(letter, ids): as fetch (lib/side.lua), of the first tasks that take about a MiB in all; the rest is read when its
-- turn comes. At once, a thousand full ledgers or lists of names are 20 to 130 MB: the reply alone took 60 ms and more.
-- @include lib/side.lua
local NEAR_BYTES = 1048576

local function fetch_near(letter, ids)
  local near, bytes = {}, 0
  for i = 1, #ids do
    local task = known[ids[i]]
    if task and has(task, letter) then
      near[#near + 1] = ids[i]
      bytes = bytes + task[BYTES]
      if bytes >= NEAR_BYTES then break end
    end
  end
  fetch(letter, near)
end
