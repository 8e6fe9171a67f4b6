-- form_of(text, entry): what many tasks share, taken apart and checked once: type, priority, timeout, maxRetries, backoff,
-- availableAt, delay, between blanks. Or nil and a refusal. With it come the parts of a new task's small fields that are the
-- same for all of its form, in the order of lib/task.lua: head, middle, tail.
-- Agents enqueue the same forms again and again: to take one apart took a tenth of the time of a call with one task. In a
-- function library FORMS stay between calls; when there are too many they are begun anew. One with a time is not kept, for
-- the next task has another, nor a long one: they take memory that nobody counts.
-- @include lib/limits.lua
-- @include lib/rank.lua
local FORMS = {of = {}, count = 0}
local MOST_FORMS_KEPT, LONGEST_FORM_KEPT = 1000, 256
local forms = {}

local function new_form(text, entry)
  local type, priority, timeout, max_retries, base, available, delay =
    string.match(text, '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$')
  if not type then return nil, invalid(entry, 'type', 'seven words between single blanks') end
  local form = {type = type, priority = priority, timeout = timeout, max_retries = max_retries, base = base, available = 0, due = ''}
  local refused = check_form(form, entry)
  if not refused and delay ~= '' and not is_whole(delay, 0, FARTHEST) then refused = invalid(entry, 'delay', 'from 0 to 10 years') end
  if not refused and available ~= '' and not is_whole(available, 0, now + FARTHEST) then
    refused = invalid(entry, 'availableAt', 'at most 10 years ahead')
  end
  if refused then return nil, refused end
  form.rank = first_rank(priority)
  -- Between the timeout and the flags: what a claim sets, empty, and no hand-backs.
  form.head = ' ' .. type .. ' ' .. timeout .. '        0 '
  form.middle = ' 0 ' .. priority .. ' '
  form.bounds = ' ' .. max_retries .. ' ' .. base .. ' ' .. base .. ' '
  form.told = ' ' .. type .. ' - -'
  if available ~= '' or delay ~= '' then
    form.available = math.max(tonumber(available) or 0, delay == '' and 0 or now + delay)
    if form.available > 0 then form.due = string.format('%d', form.available) end
  elseif #text <= LONGEST_FORM_KEPT then
    if FORMS.count >= MOST_FORMS_KEPT then FORMS.of, FORMS.count = {}, 0 end
    FORMS.of[text], FORMS.count = form, FORMS.count + 1
  end
  return form
end

local function form_of(text, entry)
  local form, refused = forms[text], nil
  if form then return form end
  form = FORMS.of[text]
  if not form then
    form, refused = new_form(text, entry)
    if not form then return nil, refused end
  end
  -- What belongs to this call alone.
  form.count = 0
  form.tail = form.bounds .. stamp .. ' ' .. form.due .. ' '
  forms[text] = form
  return form
end
