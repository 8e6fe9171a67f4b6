-- less(a, b): by bytes, as sorted sets have it; Lua's own < follows the locale of the server.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local one, other = string.byte(a, i), string.byte(b, i)
    if one ~= other then return one < other end
  end
  return #a < #b
end
