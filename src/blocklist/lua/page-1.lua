-- One page of the walk: SCAN, and when each key found ends.
-- KEYS: 1 any key under the prefix (routes the script to the right node)
-- ARGV: 1 cursor; 2 COUNT; 3 MATCH pattern; 4 'strings' to leave keys of other
--   types out, which is faster, or 'all'; then pairs of class letter and key prefix
-- Output: {next cursor, server time in ms, name, end, name, end, ...}; name is the
--   class letter and the rest of the key; end is ms since 1970, -1 for permanent,
--   or the type's name when the key is not a string.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- PEXPIRETIME exists since Redis 7.0; PTTL and the clock say the same before.
local modern = type(redis.pcall('PEXPIRETIME', KEYS[1])) == 'number'
local strings = modern and ARGV[4] == 'strings'
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
      local kind = strings and 'string' or redis.call('TYPE', key).ok
      if kind ~= 'none' then
        local ends = kind
        if kind == 'string' then
          if modern then
            ends = redis.call('PEXPIRETIME', key)
          else
            ends = redis.call('PTTL', key)
            if ends >= 0 then ends = now + ends end
          end
        end
        if ends ~= -2 then
          out[n + 1] = ARGV[i] .. string.sub(key, #prefix + 1)
          out[n + 2] = ends
          n = n + 2
        end
      end
      break
    end
  end
end
return out
