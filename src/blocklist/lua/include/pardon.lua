-- A person's unban: evidence from before it does not ban again, and the ban does
-- not count as an offence any more. Keys are '' where there is nothing to do;
-- {at} in the value stands for the time; member '*' stands for every offence.
local function pardon(key, value, lifetime, offences, member)
  if key ~= '' then
    redis.call('SET', key, (string.gsub(value, '{at}', string.format('%.0f', now))), 'EX', lifetime)
  end
  if offences == '' or redis.call('TYPE', offences).ok ~= 'zset' then return end
  if member == '*' then redis.call('DEL', offences) else redis.call('ZREM', offences, member) end
end
