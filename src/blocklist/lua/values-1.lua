-- Values and ends of entry keys, each pair as it was at one moment.
-- KEYS: 1 raw edits (hash)
-- ARGV: entry keys, at most 500, in the slot of KEYS[1]
-- Output: {key, value, end, known, ...} for each key that exists; end is ms since
--   1970 or -1; known is the field of the raw hash, or ''. A key of a wrong type
--   has its type in < > for a value.
-- include ends
local out = {}
for _, key in ipairs(ARGV) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' then
    local n = #out
    out[n + 1] = key
    out[n + 2] = kind == 'string' and redis.call('GET', key) or '<' .. kind .. '>'
    out[n + 3] = endOf(key)
    out[n + 4] = redis.call('HGET', KEYS[1], key) or ''
  end
end
return out
