-- dead_letter(id): the task, when it is in the dead-letter queue; else nil and why not.
local function dead_letter(id)
  load_one(id)
  local task = known[id]
  if not task then return nil, refusal('TaskNotFound', 'there is no task ' .. id, {id = id}) end
  if task[STATE] == 'dead' then return task end
  return nil, refusal('InvalidState', id .. ' is ' .. public(task) .. ', not a dead letter', {id = id, state = public(task)})
end
