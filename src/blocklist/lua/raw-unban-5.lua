-- Journals a removal that no command of ours made, once for the fleet, and
-- pardons the address.
-- KEYS: 1 the entry that is gone; 2 the other key it may have been; 3 removals
--   told (sorted set); 4 raw edits (hash); 5 journal stream
-- ARGV: 1 pardon key or ''; 2 its value, {at} standing for the time; 3 its
--   lifetime in seconds; 4 offence key or ''; 5 its member; then the journal's field
--   names and values
-- Output: 1 when journaled, 0 when somebody else did or the key is back
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 1, 2 do
  if redis.call('ZSCORE', KEYS[3], 'c ' .. KEYS[i]) or redis.call('ZSCORE', KEYS[3], 'r ' .. KEYS[i]) then return 0 end
end
-- include ends
-- include pardon
redis.call('ZADD', KEYS[3], now, 'r ' .. KEYS[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 86400000)
redis.call('HDEL', KEYS[4], KEYS[1])
pardon(unpack(ARGV, 1, 5))
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 100000, '*', unpack(ARGV, 6))
return 1
