-- Sets the state of one flag, while it exists; its lifetime stays.
-- KEYS: 1 the flag; 2 journal stream
-- ARGV: 1 state; 2 owner, '' to leave it as it is; then the journal's field names
--   and values, of which `before` and `after` are put in here
-- Output: the new value, or nil when there is no such flag
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return false end
local before = redis.call('GET', KEYS[1])
local ok, flag = pcall(cjson.decode, before)
if not ok or type(flag) ~= 'table' then return false end
flag.state = ARGV[1]
if ARGV[2] ~= '' then flag.owner = ARGV[2] end
local after = cjson.encode(flag)
redis.call('SET', KEYS[1], after, 'KEEPTTL')
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'before' then ARGV[i + 1] = before end
  if ARGV[i] == 'after' then ARGV[i + 1] = after end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', unpack(ARGV, 3))
return after
