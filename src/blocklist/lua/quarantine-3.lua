-- Counts hits of rules in quarantine, lets their time begin again, or lets them out.
-- KEYS: 1 quarantine (hash: gid:sid:rev to "since hits"); 2 revisions seen (hash);
--   3 journal stream
-- ARGV: 1 time as ISO 8601; 2 host; then four for each rule: gid:sid:rev; what:
--   hits, restart or promote; a number: hits to add, the new since in ms, or the
--   since that a promotion was decided on; why, for the journal
-- Output: one for each rule: "since hits" as it is now, or '' when it is not in
--   quarantine; or the number 0 when Redis has lost what it knew of the rules
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local out = {}
for i = 3, #ARGV, 4 do
  local field, what, number, why = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local state = redis.call('HGET', KEYS[1], field)
  local since, hits = string.match(state or '', '^(%d+) (%d+)$')
  if state and not since then since, hits = '0', '0' end
  if not state then
    state = ''
  elseif what == 'promote' then
    if since == number then
      redis.call('HDEL', KEYS[1], field)
      redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'at', ARGV[1], 'act', 'promote', 'address', field,
        'by', '', 'from', 'daemon', 'host', ARGV[2], 'why', why, 'ticket', '', 'before', '', 'after', '')
      state = ''
    end
  else
    local before = state
    if what == 'restart' then
      state = number .. ' 0'
    else
      state = since .. ' ' .. string.format('%.0f', hits + number)
    end
    if state ~= before then redis.call('HSET', KEYS[1], field, state) end
  end
  out[#out + 1] = state
end
return out
