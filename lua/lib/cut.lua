-- cut(text, bytes): at most that many bytes, never half of a UTF-8 character, which no client could decode.
local function cut(text, bytes)
  if #text <= bytes then return text end
  while bytes > 0 do
    local following = string.byte(text, bytes + 1)
    if following < 128 or following > 191 then break end
    bytes = bytes - 1
  end
  return string.sub(text, 1, bytes)
end
