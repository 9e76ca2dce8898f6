-- Notes the revisions of rules that are seen, and tells those in quarantine. A
-- revision not seen before enters quarantine now.
-- KEYS: 1 revisions seen (hash: gid:sid to revisions, with commas between);
--   2 quarantine (hash: gid:sid:rev to "since hits", since in ms)
-- ARGV: 1 time in ms; then pairs of gid:sid and rev, at most 2000 pairs
-- Output: four for each rule in quarantine: its gid:sid:rev; "since hits"; 1 when
--   it entered now, else 0; its other revisions out of quarantine, with commas
local out = {}
for i = 2, #ARGV, 2 do
  local id, rev = ARGV[i], ARGV[i + 1]
  local seen = redis.call('HGET', KEYS[1], id) or ''
  local field = id .. ':' .. rev
  local state, entered = false, 0
  if string.find(',' .. seen .. ',', ',' .. rev .. ',', 1, true) then
    state = redis.call('HGET', KEYS[2], field)
  else
    state, entered = ARGV[1] .. ' 0', 1
    redis.call('HSET', KEYS[2], field, state)
    -- The last eight revisions will do; an older one that comes back is new again.
    local kept = {}
    for known in string.gmatch(seen, '%d+') do kept[#kept + 1] = known end
    kept[#kept + 1] = rev
    redis.call('HSET', KEYS[1], id, table.concat(kept, ',', math.max(1, #kept - 7)))
  end
  if state then
    local others = {}
    for known in string.gmatch(seen, '%d+') do
      if known ~= rev and redis.call('HEXISTS', KEYS[2], id .. ':' .. known) == 0 then others[#others + 1] = known end
    end
    local n = #out
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = field, state, entered, table.concat(others, ',')
  end
end
return out
