-- Which of these keys were not written by Barricata in their present state, and
-- have not been journaled in it.
-- KEYS: 1 raw edits (hash); 2 removals told (sorted set)
-- ARGV: entry keys, at most 500, in the slot of KEYS[1]
-- Output: {key, value, end, known, ...} for each such key; end is ms since 1970
--   or -1; known is the field of the raw hash, or ''.
-- include ends
local any = redis.call('EXISTS', KEYS[1]) == 1
local told = redis.call('EXISTS', KEYS[2]) == 1
local out = {}
for _, key in ipairs(ARGV) do
  if redis.call('TYPE', key).ok == 'string' then
    local value = redis.call('GET', key)
    local ends = endOf(key)
    if told then redis.call('ZREM', KEYS[2], 'c ' .. key, 'r ' .. key) end
    local meant = string.sub(value, 1, 7) == '{"v":1,' and string.match(value, '"until":(%w+)}$')
    if meant == 'null' then meant = -1 else meant = tonumber(meant) end
    if meant and (meant == ends or (meant >= 0 and ends >= 0 and math.abs(meant - ends) < 1500)) then
      if any then redis.call('HDEL', KEYS[1], key) end
    else
      local known = any and redis.call('HGET', KEYS[1], key) or ''
      if string.sub(known or '', 1, 40) ~= redis.sha1hex(value .. '|' .. string.format('%.0f', ends)) then
        local n = #out
        out[n + 1], out[n + 2], out[n + 3], out[n + 4] = key, value, ends, known or ''
      end
    end
  end
end
return out
