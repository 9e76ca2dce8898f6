-- One page of the walk: SCAN, and when each key found ends.
-- KEYS: 1 any key under the prefix (routes the script to the right node)
-- ARGV: 1 cursor; 2 COUNT; 3 MATCH pattern; then pairs of class letter and key prefix
-- Output: {next cursor, server time in ms, name, end, name, end, ...}; name is the
--   class letter and the rest of the key; end is ms since 1970, -1 for permanent,
--   or the type's name when the key is not a string.
-- include ends
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3], 'COUNT', ARGV[2])
local out = {page[1], now}
local n = 2
for _, key in ipairs(page[2]) do
  for i = 4, #ARGV, 2 do
    local prefix = ARGV[i + 1]
    if string.sub(key, 1, #prefix) == prefix then
      local ends = stateOf(key)
      if ends ~= -2 then
        out[n + 1] = ARGV[i] .. string.sub(key, #prefix + 1)
        out[n + 2] = ends
        n = n + 2
      end
      break
    end
  end
end
return out
