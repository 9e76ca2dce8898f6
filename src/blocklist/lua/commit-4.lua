-- Stores a batch of automatic decisions and the position they were read up to,
-- all or nothing. A batch whose sequence is not above the stored one was
-- applied before and changes nothing.
-- KEYS: 1 journal stream; 2 removals told (sorted set); 3 raw edits (hash); 4 positions (hash)
-- ARGV: 1 source, '' to apply effects whatever was applied before; 2 sequence;
--   3 position as JSON; 4 host; 5 time as ISO 8601; then one JSON object per
--   effect, t = ban, would or flag (see effects.ts). The keys that an effect names
--   share the slot of KEYS. Last of all 'new' when the bans were made as if nobody
--   was banned before.
-- Output: one word per effect: stored, extended, counted (written, same end),
--   unchanged, pardoned or wrong_type; or {'duplicate'}; or {'known'} when somebody
--   was banned before: nothing is stored then.
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

-- Whether the pardon in this key holds against the effect.
local function holds(key, e)
  if redis.call('TYPE', key).ok ~= 'string' then return false end
  local text = redis.call('GET', key)
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

local function pardoned(e)
  for _, key in ipairs(e.pardons) do if holds(key, e) then return true end end
  return false
end

-- The entries that this batch is about, each read once and written once at the
-- end: one attack raises several signatures, and each is an effect of its own.
local entries, order = {}, {}

local function entryOf(key)
  if entries[key] then return entries[key] end
  local kind = redis.call('TYPE', key).ok
  local entry = {key = key, kind = kind, ends = -2}
  if kind == 'string' then
    entry.text, entry.ends = redis.call('GET', key), endOf(key)
  end
  entry.before, entry.was = entry.text, entry.ends
  entries[key] = entry
  order[#order + 1] = entry
  return entry
end

-- Gives the entry another value or end; act is what the journal calls it, nil for nothing worth a line.
local function change(entry, text, ends, e, act)
  entry.text, entry.ends = text, ends
  if act and not entry.act then entry.act, entry.e = act, e end
end

local function write(entry)
  local key, ends = entry.key, entry.ends
  if entry.text == entry.before and ends == entry.was then return end
  if entry.kind ~= 'none' and ends == entry.was then
    redis.call('SET', key, entry.text, 'KEEPTTL')
  elseif ends < 0 then
    redis.call('SET', key, entry.text)
  else
    redis.call('SET', key, entry.text, 'PXAT', number(ends))
  end
  if entry.kind == 'none' then redis.call('ZREM', KEYS[2], 'c ' .. key, 'r ' .. key) end
  if entry.offence then
    local o = entry.offence
    local kind = redis.call('TYPE', o.key).ok
    if kind == 'none' or kind == 'zset' then
      redis.call('ZADD', o.key, o.at, o.member)
      redis.call('ZREMRANGEBYSCORE', o.key, '-inf', number(o.at - o.keep * 1000))
      redis.call('ZREMRANGEBYRANK', o.key, 0, -65)
      redis.call('EXPIRE', o.key, o.keep)
    end
  end
  if entry.byHand then
    -- A reason typed by hand stays as it is; this end is ours, so that it is not taken for another raw edit.
    local known = redis.call('HGET', KEYS[3], key)
    if known then
      local digest = redis.sha1hex(entry.text .. '|' .. (ends < 0 and '-1' or number(ends)))
      redis.call('HSET', KEYS[3], key, digest .. string.sub(known, 41))
    end
  end
  if entry.act then journal(entry.act, entry.e, entry.before or '', entry.text) end
end

local effect = {}

function effect.ban(e)
  if e.ends >= 0 and e.ends <= now then return 'unchanged' end
  if pardoned(e) then return 'pardoned' end
  local entry = entryOf(e.key)
  if entry.kind ~= 'none' and entry.kind ~= 'string' then return 'wrong_type' end
  -- A ban of the fleet that lasts as long makes one of this host superfluous.
  if e.fleet and entryOf(e.fleet).text and later(entryOf(e.fleet).ends, e.ends) then return 'unchanged' end
  if not entry.text then
    change(entry, value(e.head, e.sid and number(e.sid) or '', e.last, e.count, e.ends), e.ends, e, 'ban')
    entry.offence = e.offence
    return 'stored'
  end
  local ends = entry.ends
  local head, sids, last, count = string.match(entry.text, TAIL)
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
    change(entry, value(head, more, e.last > last and e.last or last, count + e.count, ends), ends, e)
    return 'counted'
  end
  local text
  if automatic then
    text = value(head, more, e.last > last and e.last or last, count + e.count, e.ends)
  elseif head then
    text = value(head, sids, last, count, e.ends)
  else
    text, entry.byHand = entry.text, true
  end
  change(entry, text, e.ends, e, (news or not automatic) and 'extend' or nil)
  return 'extended'
end

function effect.would(e)
  if e.ends >= 0 and e.ends <= now then return 'unchanged' end
  local kind = redis.call('TYPE', e.key).ok
  if kind ~= 'none' and kind ~= 'string' then return 'wrong_type' end
  local ends = kind == 'string' and endOf(e.key) or -2
  if kind == 'string' and (later(ends, e.ends) or e.ends - ends < 60000) then return 'unchanged' end
  local text = value(e.head, e.sid and number(e.sid) or '', e.last, e.count, e.ends)
  if e.ends < 0 then redis.call('SET', e.key, text) else redis.call('SET', e.key, text, 'PXAT', number(e.ends)) end
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
    -- One that calls out to many addresses is written once a minute all the same; the last of them stands.
    if type(flag.last) == 'string' and flag.last >= e.minuteAgo then return 'unchanged' end
  end
  flag.last = e.last
  flag.count = (tonumber(flag.count) or 0) + e.count
  flag.outside = e.outside
  local text = cjson.encode(flag)
  redis.call('SET', e.key, text, 'EX', 2592000)
  if kind == 'none' then journal('flag', e, '', text) end
  return kind == 'none' and 'stored' or 'extended'
end

local effects, asNew = {}, ARGV[#ARGV] == 'new'
for i = 6, asNew and #ARGV - 1 or #ARGV do effects[#effects + 1] = cjson.decode(ARGV[i]) end
if asNew then
  for _, e in ipairs(effects) do
    if e.offence and redis.call('EXISTS', e.offence.key) == 1 then return {'known'} end
  end
end
local out = {}
for i, e in ipairs(effects) do out[i] = effect[e.t](e) end
for _, entry in ipairs(order) do write(entry) end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) end
return out
