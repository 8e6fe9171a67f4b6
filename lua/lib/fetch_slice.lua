-- fetch_slice(letters, ids, first): read these sides of the tasks from that place on, of about 256 KiB and of one task at
-- least. Returns the place of the last one. What a task takes in all (BYTES) is more than that, but costs no call to ask: who
-- bounds what is read counts what was really found.
-- @include lib/side.lua
local SLICE_BYTES = 262144

local function fetch_slice(letters, ids, first)
  local bytes, counted, last = 0, false, #ids
  for i = first, #ids do
    local task = known[ids[i]]
    if task and task[FLAGS] ~= '' then
      bytes = bytes + task[BYTES]
      if bytes > SLICE_BYTES and counted then
        last = i - 1
        break
      end
      counted = true
    end
  end
  if not counted then return last end
  local part = first == 1 and last == #ids and ids or {unpack(ids, first, last)}
  for _, letter in ipairs(letters) do fetch(letter, part) end
  return last
end
