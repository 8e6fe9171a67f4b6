-- check_bytes(bytes, field): one call takes at most 8 MiB of what its caller sends (design section 2). Nil, or a refusal.
local MOST_BYTES = 8388608

local function check_bytes(bytes, field)
  if bytes > MOST_BYTES then return refusal('InvalidTask', 'one call takes at most 8 MiB', {field = field}) end
end
