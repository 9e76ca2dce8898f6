-- Reads the earlier bans of some offenders, and which of them last.
-- KEYS: 1 the beginning of every ban key
-- ARGV: offence keys, at most 500, in the slot of KEYS[1]
-- Output: for each a list {address, made at, end, ...} in ms since 1970; end is -1
--   for a permanent ban and 0 for one that is over
-- include ends
local out = {}
for i, key in ipairs(ARGV) do
  local bans = {}
  if redis.call('TYPE', key).ok == 'zset' then
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    local last = {}
    for m = 1, #members, 2 do last[string.match(members[m], '%S+$')] = m end
    for m = 1, #members, 2 do
      local first, address = string.match(members[m], '^(%S+) (%S+)$')
      local ban = KEYS[1] .. (address or '')
      if first then
        local ends = 0
        if redis.call('TYPE', ban).ok == 'string' then
          local known = string.match(redis.call('GET', ban), '^{"v":1,.-"first":"([^"]*)"')
          -- A text typed over the value says nothing of when the ban was made: it is the latest.
          if known == first or (not known and last[address] == m) then ends = endOf(ban) end
        end
        bans[#bans + 1] = address
        bans[#bans + 1] = tonumber(members[m + 1])
        bans[#bans + 1] = ends
      end
    end
  end
  out[i] = bans
end
return out
