-- claimed(id, token): the task, when this token is its current one; else nil and why not (design rule 8).
local function claimed(id, token)
  load_one(id)
  local task = known[id]
  if not task then return nil, refusal('TaskNotFound', 'there is no task ' .. id, {id = id}) end
  if task[STATE] == 'leased' and task[TOKEN] == token then return task end
  return nil, refusal('StaleClaim', 'the claim ' .. token .. ' of ' .. id .. ' has ended', {id = id, state = public(task), token = token})
end
