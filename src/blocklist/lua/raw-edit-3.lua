-- Journals one raw edit, once for the fleet: only while the key still is as it
-- was seen, and nobody journaled this state.
-- KEYS: 1 the entry; 2 raw edits (hash); 3 journal stream
-- ARGV: 1 digest of value and end as seen; 2 new field of the raw hash (begins
--   with that digest); then the journal's field names and values
-- Output: 1 when journaled, 0 when somebody else did or the key changed again
local known = redis.call('HGET', KEYS[2], KEYS[1])
if known and string.sub(known, 1, 40) == ARGV[1] then return 0 end
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return 0 end
-- include ends
local ends = endOf(KEYS[1])
if exact and redis.sha1hex(redis.call('GET', KEYS[1]) .. '|' .. string.format('%.0f', ends)) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], KEYS[1], ARGV[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', unpack(ARGV, 3))
return 1
