-- Values and ends of entry keys, each pair as it was at one moment.
-- KEYS: 1 raw edits (hash)
-- ARGV: entry keys, at most 500, in the slot of KEYS[1]
-- Output: {key, value, end, known, ...} for each key that exists; end is ms since
--   1970 or -1; known is the field of the raw hash, or ''. A key of a wrong type
--   has its type in < > for a value.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local modern = type(redis.pcall('PEXPIRETIME', KEYS[1])) == 'number'
local out = {}
for _, key in ipairs(ARGV) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' then
    local n = #out
    out[n + 1] = key
    out[n + 2] = kind == 'string' and redis.call('GET', key) or '<' .. kind .. '>'
    if modern then
      out[n + 3] = redis.call('PEXPIRETIME', key)
    else
      local left = redis.call('PTTL', key)
      out[n + 3] = left >= 0 and now + left or left
    end
    out[n + 4] = redis.call('HGET', KEYS[1], key) or ''
  end
end
return out
