-- Stores a batch of automatic decisions and the position they were read up to,
-- all or nothing. A batch whose sequence is not above the stored one was
-- applied before and changes nothing.
-- KEYS: 1 journal stream; 2 removals told (sorted set); 3 raw edits (hash); 4 positions (hash)
-- ARGV: 1 source, '' to apply effects whatever was applied before; 2 sequence;
--   3 position as JSON; 4 host; 5 time as ISO 8601; then one JSON object per
--   effect, t = ban, would or flag (see store.ts). The keys that an effect names
--   share the slot of KEYS.
-- Output: one word per effect: stored, extended, unchanged, pardoned or wrong_type;
--   or {'duplicate'}.
local stored = ARGV[1] ~= '' and redis.call('HGET', KEYS[4], ARGV[1])
if stored and tonumber(string.match(stored, '^(%d+) ') or '0') >= tonumber(ARGV[2]) then return {'duplicate'} end

-- include ends
local TAIL = '^(.*),"sids":%[([%d,]*)%],"last":"([^"]*)","count":(%d+),"until":(%w+)}$'

local function number(n) return string.format('%.0f', n) end

local function value(head, sids, last, count, ends)
  return head .. ',"sids":[' .. sids .. '],"last":"' .. last .. '","count":' .. number(count)
    .. ',"until":' .. (ends < 0 and 'null' or number(ends)) .. '}'
end

local function journal(act, e, before, after)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'at', ARGV[5], 'act', act, 'address', e.address, 'by', '',
    'from', 'daemon', 'host', ARGV[4], 'why', e.why, 'ticket', '', 'before', before, 'after', after)
end

local function put(key, text, ends)
  if ends < 0 then redis.call('SET', key, text) else redis.call('SET', key, text, 'PXAT', number(ends)) end
end

local function later(a, b) return a < 0 or (b >= 0 and a >= b) end

local function with(sids, sid)
  if not sid then return sids, false end
  local n = 0
  for known in string.gmatch(sids, '%d+') do
    n = n + 1
    if known == number(sid) then return sids, false end
  end
  if n >= 16 then return sids, false end
  return sids == '' and number(sid) or sids .. ',' .. number(sid), true
end

local function pardoned(e)
  if redis.call('TYPE', e.pardon).ok ~= 'string' then return false end
  local text = redis.call('GET', e.pardon)
  local ok, pardon = pcall(cjson.decode, text)
  local at = 0
  if ok and type(pardon) == 'table' then
    if type(pardon.at) == 'number' then at = pardon.at end
    if type(pardon.sids) == 'table' then
      local named = false
      for _, sid in ipairs(pardon.sids) do if sid == e.sid then named = true end end
      if not named then return false end
    end
  end
  return not (e.proven and e.flow and e.flow > at)
end

local effect = {}

function effect.ban(e)
  if e.ends >= 0 and e.ends <= now then return 'unchanged' end
  if pardoned(e) then return 'pardoned' end
  local kind = redis.call('TYPE', e.key).ok
  if kind ~= 'none' and kind ~= 'string' then return 'wrong_type' end
  -- A ban of the fleet that lasts as long makes one of this host superfluous.
  if e.fleet and redis.call('TYPE', e.fleet).ok == 'string' and later(endOf(e.fleet), e.ends) then return 'unchanged' end
  if kind == 'none' then
    local text = value(e.head, e.sid and number(e.sid) or '', e.last, e.count, e.ends)
    put(e.key, text, e.ends)
    redis.call('ZREM', KEYS[2], 'c ' .. e.key, 'r ' .. e.key)
    journal('ban', e, '', text)
    return 'stored'
  end
  local before = redis.call('GET', e.key)
  local ends = endOf(e.key)
  local head, sids, last, count = string.match(before, TAIL)
  local automatic = head and not string.find(head, '"source":"manual"', 1, true)
    and not string.find(head, '"source":"import"', 1, true)
  local longer = not later(ends, e.ends)
  local more, news = sids, false
  if automatic then more, news = with(sids, e.sid) end
  if longer and e.ends >= 0 and e.ends - ends < 60000 and not news then
    -- A repeated alert: one write a minute will do, as long as the entry cannot run out before.
    if ends - now >= math.min(60000, (e.ends - now) / 2) then return 'unchanged' end
  end
  if not longer then
    if not automatic or (not news and last >= e.minuteAgo) then return 'unchanged' end
    redis.call('SET', e.key, value(head, more, e.last > last and e.last or last, count + e.count, ends), 'KEEPTTL')
    return 'unchanged'
  end
  local text
  if automatic then
    text = value(head, more, e.last > last and e.last or last, count + e.count, e.ends)
  elseif head then
    text = value(head, sids, last, count, e.ends)
  else
    text = before
  end
  put(e.key, text, e.ends)
  if not head then
    -- A reason typed by hand stays as it is; this end is ours, so that it is not taken for another raw edit.
    local known = redis.call('HGET', KEYS[3], e.key)
    if known then
      local digest = redis.sha1hex(text .. '|' .. (e.ends < 0 and '-1' or number(e.ends)))
      redis.call('HSET', KEYS[3], e.key, digest .. string.sub(known, 41))
    end
  end
  if news or not automatic then journal('extend', e, before, text) end
  return 'extended'
end

function effect.would(e)
  if e.ends >= 0 and e.ends <= now then return 'unchanged' end
  local kind = redis.call('TYPE', e.key).ok
  if kind ~= 'none' and kind ~= 'string' then return 'wrong_type' end
  local ends = kind == 'string' and endOf(e.key) or -2
  if kind == 'string' and (later(ends, e.ends) or e.ends - ends < 60000) then return 'unchanged' end
  local text = value(e.head, e.sid and number(e.sid) or '', e.last, e.count, e.ends)
  put(e.key, text, e.ends)
  if kind == 'none' then journal('would', e, '', text) end
  return kind == 'none' and 'stored' or 'extended'
end

function effect.flag(e)
  local kind = redis.call('TYPE', e.key).ok
  if kind ~= 'none' and kind ~= 'string' then return 'wrong_type' end
  local flag = {first = e.last, count = 0, owner = cjson.null, state = 'open'}
  if kind == 'string' then
    local ok, known = pcall(cjson.decode, redis.call('GET', e.key))
    if ok and type(known) == 'table' then flag = known end
    if type(flag.last) == 'string' and flag.last >= e.minuteAgo and flag.outside == e.outside then return 'unchanged' end
  end
  flag.last = e.last
  flag.count = (tonumber(flag.count) or 0) + e.count
  flag.outside = e.outside
  local text = cjson.encode(flag)
  redis.call('SET', e.key, text, 'EX', 2592000)
  if kind == 'none' then journal('flag', e, '', text) end
  return kind == 'none' and 'stored' or 'extended'
end

local out = {}
for i = 6, #ARGV do
  local e = cjson.decode(ARGV[i])
  out[#out + 1] = effect[e.t](e)
end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) end
return out
