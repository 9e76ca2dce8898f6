-- Writes a host's heartbeat unless another machine uses its name.
-- KEYS: 1 the heartbeat (hash)
-- ARGV: 1 machine id; 2 lifetime in seconds; then field names and values
-- Output: 1 when written, 0 when the name belongs to another machine
local machine = redis.call('HGET', KEYS[1], 'machine')
if machine and machine ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
