-- One page of the walk: SCAN, and when each key found ends.
-- KEYS: 1 any key under the prefix (routes the script to the right node)
-- ARGV: 1 cursor; 2 COUNT; 3 MATCH pattern; 4 'strings' to leave keys of other
--   types out, which is faster, or 'all'; then pairs of class letter and key prefix
-- Output: {next cursor, server time in ms, name, end, name, end, ...}; name is the
--   class letter and the rest of the key; end is ms since 1970, -1 for permanent,
--   or the type's name when the key is not a string.
-- include ends
-- SCAN knows TYPE since Redis 6.0.
local strings = ARGV[4] == 'strings'
local page
if strings then
  page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3], 'COUNT', ARGV[2], 'TYPE', 'string')
else
  page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3], 'COUNT', ARGV[2])
end
local out = {page[1], now}
local n = 2
for _, key in ipairs(page[2]) do
  for i = 5, #ARGV, 2 do
    local prefix = ARGV[i + 1]
    if string.sub(key, 1, #prefix) == prefix then
      local ends = strings and endOf(key) or stateOf(key)
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
