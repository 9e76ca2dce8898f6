local time = redis.call('TIME')
-- The server's time, ms since 1970.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Whether ends are exact: PEXPIRETIME exists since Redis 7.0; PTTL and the clock say nearly the same before.
local exact

-- When a key ends: ms since 1970, -1 permanent, -2 no such key.
local function endOf(key)
  if exact == nil then exact = type(redis.pcall('PEXPIRETIME', key)) == 'number' end
  if exact then return redis.call('PEXPIRETIME', key) end
  local left = redis.call('PTTL', key)
  return left >= 0 and now + left or left
end

-- As endOf; the type's name when the key is there and is not a string.
local function stateOf(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' or kind == 'none' then return endOf(key) end
  return kind
end
