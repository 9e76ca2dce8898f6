-- Sets a mode key by command, or journals that somebody set it otherwise, once for the fleet.
-- KEYS: 1 the mode key; 2 raw edits (hash); 3 journal stream
-- ARGV: 1 'set' or 'noticed'; 2 the value, '' for none; then the journal's field
--   names and values, of which `before` is put in here
-- Output: 1 when journaled, 0 when somebody else did or the key changed again
local before = redis.call('GET', KEYS[1]) or ''
local digest = redis.sha1hex(ARGV[2])
if ARGV[1] == 'set' then
  -- Written first in any case, so that every host hears of a removal even where the key was lost before.
  redis.call('SET', KEYS[1], ARGV[2])
  if ARGV[2] == '' then redis.call('DEL', KEYS[1]) end
else
  if before ~= ARGV[2] then return 0 end
  local known = redis.call('HGET', KEYS[2], KEYS[1])
  if known and string.sub(known, 1, 40) == digest then return 0 end
  if not known and ARGV[2] == '' then return 0 end
  before = known and string.sub(known, 42) or ''
end
redis.call('HSET', KEYS[2], KEYS[1], digest .. ' ' .. ARGV[2])
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'before' then ARGV[i + 1] = before end
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', unpack(ARGV, 3))
return 1
