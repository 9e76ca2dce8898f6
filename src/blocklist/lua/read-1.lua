-- When each of the named keys ends, now.
-- KEYS: 1 the sorted set of removals made by journaled commands
-- ARGV: full names of the keys to read, at most 2000, all in the slot of KEYS[1]
-- Output: {server time in ms, end, end, ...} in the order asked; end is ms since
--   1970, -1 permanent, -2 gone, -4 gone by a journaled command, or the type's
--   name when the key is not a string.
-- include ends
local out = {now}
for i, key in ipairs(ARGV) do
  local ends = stateOf(key)
  if ends == -2 and redis.call('ZSCORE', KEYS[1], 'c ' .. key) then ends = -4 end
  out[i + 1] = ends
end
return out
