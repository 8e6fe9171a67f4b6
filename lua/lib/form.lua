-- form_of(text, entry): what many tasks of a batch share, taken apart and checked once: type, priority, timeout, maxRetries,
-- backoff, availableAt, delay, between blanks. Or nil and a refusal.
-- @include lib/limits.lua
local forms = {}

local function form_of(text, entry)
  local form = forms[text]
  if form then return form end
  local type, priority, timeout, max_retries, base, available, delay =
    string.match(text, '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$')
  if not type then return nil, invalid(entry, 'type', 'seven words between single blanks') end
  form = {type = type, priority = priority, timeout = timeout, max_retries = max_retries, base = base, count = 0}
  local refused = check_form(form, entry)
  if not refused and delay ~= '' and not is_whole(delay, 0, FARTHEST) then refused = invalid(entry, 'delay', 'from 0 to 10 years') end
  if not refused and available ~= '' and not is_whole(available, 0, now + FARTHEST) then
    refused = invalid(entry, 'availableAt', 'at most 10 years ahead')
  end
  if refused then return nil, refused end
  form.available = tonumber(available) or 0
  if delay ~= '' then form.available = math.max(form.available, now + delay) end
  forms[text] = form
  return form
end
