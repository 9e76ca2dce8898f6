-- One manual act on one entry: applied only while the key is as it was read.
-- KEYS: 1 the entry; 2 removals told (sorted set); 3 raw edits (hash); 4 journal stream
-- ARGV: 1 value as read, '' when there was none; 2 end as read (ms, -1 permanent,
--   -2 none); 3 new value, '' to remove; 4 new end (ms or -1); 5 pardon key or '';
--   6 pardon value, {at} standing for the time; 7 its lifetime in seconds; 8 offence
--   key or ''; 9 its member; then the journal's field names and values
-- Output: 1 when applied, 0 when the key has changed meanwhile
-- include ends
-- include pardon
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  if ARGV[2] ~= '-2' then return 0 end
else
  if ARGV[2] == '-2' then return 0 end
  if kind == 'string' then
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    local ends = endOf(KEYS[1])
    if exact and string.format('%.0f', ends) ~= ARGV[2] then return 0 end
  end
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('ZADD', KEYS[2], now, 'c ' .. KEYS[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 86400000)
else
  if ARGV[4] == '-1' then
    redis.call('SET', KEYS[1], ARGV[3])
  else
    redis.call('SET', KEYS[1], ARGV[3], 'PXAT', ARGV[4])
  end
  redis.call('ZREM', KEYS[2], 'c ' .. KEYS[1], 'r ' .. KEYS[1])
end
redis.call('HDEL', KEYS[3], KEYS[1])
pardon(unpack(ARGV, 5, 9))
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 100000, '*', unpack(ARGV, 10))
return 1
