-- Commits all spends of a request, or none, on this server's clock. Or looks at what is left, and writes nothing. Or,
-- in a cluster, gives back what one step of a commit counted. For one request or several, which know nothing of each other.
--
-- KEYS: for each request one for each spend, in order; then that of the attempt, when there is one.
-- ARGV: for each request how many keys it has, and how many arguments follow:
--   how long an attempt is remembered (ms), 0 to look only, below 0 to give back; then five for each spend:
--   'u', max_uses, life (ms, 0 when it is too late), fingerprint or '', grace (us)     a use; a grace below 0 is for once
--   'b', value,    life (ms, 0 when it is too late), '', ''                            a tie
--   'r', amount,   window (us), '', ''                                                 a request within a rate
--   'm', '',       life (ms, 0 when it is too late), '', ''                            a mark
--   'n', '',       1,           '', ''                                                 asks that there is no mark; counts nothing
--   'q', most,     1,           first, last                    room in an account for the keys of these counts, from 1
--   'h', most,     1,           names, `LIFE SIZE LIFE SIZE`   in a cluster: room for keys of these names that lie elsewhere,
--                                                              so long (ms), and of so many bytes in the list of names
--   and last the name of this try, where the commit is one step of several: a step may be given back.
-- Reply: for each request an error, or
--   {0, remaining or -1, 0, now} committed; {1, spend, wait (us) or -1, now} refused; {2, spend, 0, now} too late;
-- to a look {3, now} and four for each spend, as if it came alone: 0, 1 or 2 as above; wait; left before; left after;
-- {4, 0, 0, now} this try gave the step back before; to giving back {5, 1 when something was counted, 0, now}.
--
-- An attempt holds what was left; for a step also when it counted, and the tries that rely on it, and behind a `!` those
-- that gave it back: `LEFT WHEN TRY !TRY`. Or `x TRY`, when the last gave it back. Should the commit of one that gave it
-- back arrive only now, it counts nothing and relies on nothing.
--
-- INVARIANT: everything is checked before anything is written, so that a refusal, and an error such as OOM or
-- READONLY (which a server raises at the first write), counts nothing.
--
-- Instants are whole microseconds, exact in a double until the year 2255.
--
-- A server runs all of this anew for each call, and making a function costs as much as calling it. So requests that
-- wait together come in one call, and what a kind of spend needs is made by a function of its own, when the first spend
-- of that kind is met.

local call = redis.call
local PARTS, COMPACT_ABOVE, FIELDS, SHARES, SWEPT = 60, 256, 5, 1024, 64
local COMMITTED, REFUSED, LATE, LOOKED, RETURNED, GIVEN = 0, 1, 2, 3, 4, 5

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function whole(number)
  return string.format('%.0f', number)
end

-- Of the request that is answered now: its keys and arguments, what its keys hold, the accounts that pay for a key and
-- those that are open, and the tries that gave back what its attempt counted before.
local keys, args, states, paid, opened, returned

-- Write a value for so long (ms). Where accounts pay for the key its end is a round one, as in extauthz/replay/room.py,
-- and never earlier than it was.
local function put(key, value, life, is_known)
  local accounts = paid[key]
  if not accounts then
    call('SET', key, value, 'PX', life)
    return
  end
  local before, width = is_known and call('PEXPIRETIME', key) or 0, 1000
  while width * 16 < life do
    width = width * 2
  end
  local ending = math.max(before, math.ceil((now / 1000 + life) / width) * width)
  for _, account in ipairs(accounts) do
    local number = account.ends[before] or 0
    if ending > before or number == 0 then
      account.ends[before] = math.max(0, number - 1)
      account.ends[ending] = (account.ends[ending] or 0) + 1
      account.moved = true
    end
  end
  call('SET', key, value, 'PXAT', ending)
end

-- What counts nothing takes no room: the account that paid for it is given back, too.
local function drop(key)
  call('PEXPIRE', key, 0)
end

-- Keep a value for so long, or as long as it is kept already, whichever is later.
local function keep(key, value, life, is_known)
  if is_known and not paid[key] then
    life = math.max(life, call('PTTL', key))
  end
  put(key, value, life, is_known)
end

----- Ties: the value itself

local function ties()
  local bind = {}

  function bind.read(raw)
    return {value = raw, known = raw, life = 0}
  end

  function bind.refuses(state, value)
    return state.value and state.value ~= value and -1
  end

  function bind.count(state, value, life)
    state.value, state.life = value, math.max(state.life, life)
  end

  function bind.left()
    return -1, -1
  end

  function bind.write(key, state)
    keep(key, state.value, state.life, state.known)
  end

  return bind
end

----- Uses: `COUNT`, which a server holds as a number, or `COUNT END FINGERPRINT` with a leave to repeat

local function uses()
  local use = {}

  function use.read(raw)
    if not raw then
      return {spent = 0, grace_end = 0, fingerprint = '', known = false, life = 0}
    end
    local spent, grace_end, fingerprint = string.match(raw, '^(%d+) ?(%d*) ?(.*)$')
    return {
      spent = tonumber(spent), grace_end = tonumber(grace_end) or 0, fingerprint = fingerprint, known = true, life = 0
    }
  end

  local function is_repeat(state, fingerprint, grace)
    -- A clock that was set back must not prolong a leave; a second is its ordinary correction.
    return fingerprint ~= '' and fingerprint == state.fingerprint and now < state.grace_end
      and state.grace_end <= now + math.abs(grace) + 1000000
  end

  function use.refuses(state, max_uses, life, fingerprint, grace)
    return state.spent >= tonumber(max_uses) and not is_repeat(state, fingerprint, tonumber(grace)) and -1
  end

  function use.count(state, max_uses, life, fingerprint, grace)
    grace = tonumber(grace)
    if not is_repeat(state, fingerprint, grace) then
      state.spent = state.spent + 1
      if fingerprint ~= '' then
        state.fingerprint, state.grace_end = fingerprint, now + math.abs(grace)
      end
    elseif grace < 0 then
      state.grace_end = 0
    end
    state.life = math.max(state.life, life)
    return math.max(0, max_uses - state.spent)
  end

  -- Only where it was counted without a leave to repeat.
  function use.give_back(key, state)
    if state.known and state.spent > 1 then
      call('SET', key, whole(state.spent - 1), 'KEEPTTL')
    else
      drop(key)
    end
  end

  function use.left(state, max_uses, life, fingerprint, grace)
    local before = math.max(0, max_uses - state.spent)
    return before, is_repeat(state, fingerprint, tonumber(grace)) and before or math.max(0, before - 1)
  end

  function use.write(key, state)
    local value = state.spent
    if now < state.grace_end then
      value = whole(value) .. ' ' .. whole(state.grace_end) .. ' ' .. state.fingerprint
    end
    keep(key, value, state.life, state.known)
  end

  return use
end

----- Marks: there, or not

local function marks()
  local mark = {}

  function mark.read(raw)
    return {known = raw}
  end

  function mark.refuses()
    return false
  end

  function mark.count(state, _, life)
    state.life = math.max(state.life or 0, life)
  end

  function mark.left()
    return -1, -1
  end

  function mark.write(key, state)
    keep(key, '1', state.life, state.known)
  end

  return mark
end

local function unmarked()
  local none = {}

  function none.read(raw)
    return {known = raw}
  end

  function none.refuses(state)
    return state.known and -1
  end

  function none.left()
    return -1, -1
  end

  function none.count()
  end

  none.write, none.give_back = none.count, none.count
  return none
end

----- Rates: the log of extauthz/replay/rate.py. A value begins with what every request looks at, as MessagePack: span and
----- its end, how many requests and groups, the instant before the first group, that before the newest, and the newest.
----- Then the older groups, oldest first. A group is the gap before it, its length in time, and its count. So what a
----- request costs does not grow with the log: it looks at the oldest group, and changes the newest

local function rates()
  local rate = {}

  -- First instant, last instant and count of each group.
  local function spread(log)
    local first, last, count, at, from = {}, {}, {}, log.origin, 0
    for i = 1, log.groups - 1 do
      local gap, length
      from, gap, length, count[i] = cmsgpack.unpack_limit(log.older, 3, from)
      first[i], last[i] = at + gap, at + gap + length
      at = last[i]
    end
    if log.groups > 0 then
      first[log.groups], last[log.groups], count[log.groups] = log.first, log.last, log.count
    end
    return first, last, count
  end

  local function gather(log, first, last, count)
    local older, n = {}, #count
    log.groups, log.total, log.origin, log.before = n, 0, first[1], first[1]
    for i = 1, n do
      log.first, log.last, log.count, log.total = first[i], last[i], count[i], log.total + count[i]
      if i < n then
        older[i] = cmsgpack.pack(log.first - log.before, log.last - log.first, log.count)
        log.before = log.last
      end
    end
    log.older = table.concat(older)
  end

  function rate.read(raw)
    if not raw then
      return {
        known = false, span = 0, span_end = 0, total = 0, groups = 0,
        origin = now, older = '', before = now, first = now, last = now, count = 0
      }
    end
    local from, span, rest, total, groups, origin, behind, gap, length, count = cmsgpack.unpack_limit(raw, 9, 0)
    local before = origin + behind
    local log = {
      known = true, span = span, span_end = math.min(origin + rest, now + span), total = total, groups = groups,
      origin = origin, older = from > 0 and string.sub(raw, from + 1) or '',
      before = before, first = before + gap, last = before + gap + length, count = count
    }
    if log.last > now then
      -- A clock that was set back finds instants ahead of it. They are behind us in truth, so the latest that they can be
      -- is now: counting them from now admits nothing too early.
      log.set_back = log.last > now + 1000000
      local first, last, counts = spread(log)
      for i = 1, groups do
        first[i], last[i] = math.min(first[i], now), math.min(last[i], now)
      end
      gather(log, first, last, counts)
    end
    return log
  end

  -- How many requests count within a window, how many groups do not, and where in `older`, and after which instant, the
  -- others begin. Those that do not are few: they are dropped with the next request that is counted.
  local function counted(log, window)
    local sum, over, from, at = log.total, 0, 0, log.origin
    while over + 1 < log.groups do
      local next, gap, length, count = cmsgpack.unpack_limit(log.older, 3, from)
      if at + gap + length + window > now then
        return sum, over, from, at
      end
      sum, over, from, at = sum - count, over + 1, next, at + gap + length
    end
    if log.groups > 0 and log.last + window <= now then
      return 0, log.groups
    end
    return sum, over, from, at
  end

  -- Join groups before `fine` as far as a sixtieth of the span allows.
  local function condense(log, fine)
    local first, last, count = {}, {}, {}
    local firsts, lasts, counts = spread(log)
    for i = 1, log.groups do
      local n = #count
      if i < fine and n > 0 and lasts[i] - first[n] < log.span / PARTS then
        last[n], count[n] = lasts[i], count[n] + counts[i]
      else
        first[n + 1], last[n + 1], count[n + 1] = firsts[i], lasts[i], counts[i]
      end
    end
    gather(log, first, last, count)
  end

  function rate.refuses(log, amount, window)
    window = tonumber(window)
    local sum, over = counted(log, window)
    local excess = sum + 1 - amount
    if excess <= 0 then
      return false
    end
    local _, last, count = spread(log)
    for i = over + 1, log.groups do
      excess = excess - count[i]
      if excess <= 0 then
        return math.min(window, last[i] + window - now)
      end
    end
    return window
  end

  -- Forget what counts in no window, given what `counted` says of the span.
  local function forget(log, sum, over, from, at)
    log.total, log.groups = sum, log.groups - over
    if log.groups == 0 then
      log.older = ''
    elseif over > 0 then
      log.origin, log.older = at, from > 0 and string.sub(log.older, from + 1) or ''
    end
  end

  local function begin_group(log)
    if log.groups == 0 then
      log.origin, log.before = now, now
    else
      log.older = log.older .. cmsgpack.pack(log.first - log.before, log.last - log.first, log.count)
      log.before = log.last
    end
    log.groups, log.first, log.count = log.groups + 1, now, 0
  end

  function rate.count(log, amount, window)
    window = tonumber(window)
    if window >= log.span or now >= log.span_end then
      log.span, log.span_end = window, now + window
    end
    local within, over, from, at = counted(log, window)
    if window == log.span then
      forget(log, within, over, from, at)
    else
      forget(log, counted(log, log.span))
    end
    local is_new = log.groups == 0 or now - log.first >= window / PARTS
    if is_new then
      begin_group(log)
    end
    log.total, log.last, log.count = log.total + 1, now, log.count + 1
    if is_new and log.groups > COMPACT_ABOVE then
      condense(log, 1 + select(2, counted(log, window)))
    end
    return math.max(0, amount - within - 1)
  end

  function rate.left(log, amount, window)
    local before = math.max(0, amount - counted(log, tonumber(window)))
    return before, math.max(0, before - 1)
  end

  function rate.write(key, log)
    -- One more than needed: the server drops the fraction of the millisecond in which it is now.
    local life = math.ceil((log.last + log.span - now) / 1000) + 1
    local head = cmsgpack.pack(
      log.span, log.span_end - log.origin, log.total, log.groups, log.origin,
      log.before - log.origin, log.first - log.before, log.last - log.first, log.count
    )
    put(key, head .. log.older, life, log.known)
  end

  -- Take out the request that was counted at this instant. Those that share its group keep the later end of it.
  function rate.give_back(key, log, counted_at)
    -- As in rate.read: a clock that was set back since, be it by a microsecond, finds it ahead.
    counted_at = math.min(counted_at, now)
    local first, last, count = spread(log)
    for i = 1, #count do
      if first[i] <= counted_at and counted_at <= last[i] then
        count[i] = count[i] - 1
        if count[i] == 0 then
          for _, list in ipairs({first, last, count}) do
            table.remove(list, i)
          end
        end
        if #count > 0 then
          gather(log, first, last, count)
          rate.write(key, log)
        else
          drop(key)
        end
        return
      end
    end
  end

  return rate
end

----- Steps: who relies on what an attempt counted

local function steps()
  local step = {}

  function step.read(raw)
    local left, counted_at, tries = string.match(raw, '^(%-?%d+) ?(%d*) ?(.*)$')
    if left then
      return {left = tonumber(left), counted_at = tonumber(counted_at), tries = tries}
    end
    return {tries = string.sub(raw, 3)}
  end

  -- The tries without this one, and whether it was among them; then the same of those that gave it back.
  function step.without(tries, try)
    local names, found = {[''] = '', ['!'] = ''}, {}
    for mark, each in string.gmatch(tries, '(!?)(%S+)') do
      if each == try then
        found[mark] = true
      else
        names[mark] = names[mark] .. ' ' .. mark .. each
      end
    end
    return names[''], found[''], names['!'], found['!']
  end

  function step.write(key, state, ...)
    call('SET', key, whole(state.left) .. ' ' .. whole(state.counted_at) .. state.tries, ...)
  end

  return step
end

----- Rooms for keys that lie elsewhere: an account is a sorted set of their names. A score is the end of one (ms) times
----- SHARES, and how many commits hold it. One that is given back holds it no more; a name that nobody holds is taken out

local function holds()
  local held = {}
  local first_live = whole((math.floor(now / 1000) + 1) * SHARES)

  function held.load(key)
    return {key = key, number = call('ZCOUNT', key, first_live, '+inf'), taken = {}}
  end

  function held.names(names, sizes)
    local found, at = {}, 1
    for life, size in string.gmatch(sizes, '(%d+) (%d+)') do
      found[#found + 1] = {name = string.sub(names, at, at + size - 1), life = tonumber(life)}
      at = at + size
    end
    return found
  end

  -- When a name ends, and how many hold it; 0 and 0 for one that is not there.
  function held.find(key, name)
    local score = tonumber(call('ZSCORE', key, name) or 0)
    local ending = math.floor(score / SHARES)
    if ending * 1000 <= now then
      return 0, 0
    end
    return ending, score % SHARES
  end

  function held.put(key, name, ending, holders)
    call('ZADD', key, whole(ending * SHARES + holders), name)
  end

  function held.fresh(state, names, sizes)
    local number = 0
    for _, each in ipairs(held.names(names, sizes)) do
      if held.find(state.key, each.name) == 0 then
        number = number + 1
      end
    end
    return number
  end

  function held.refuses(state, most, _, names, sizes)
    local new = held.fresh(state, names, sizes)
    local excess = state.number + new - most
    if new == 0 or excess <= 0 then
      return false
    end
    local at = call('ZCOUNT', state.key, '-inf', '(' .. first_live) + excess - 1
    local last = call('ZRANGE', state.key, at, at, 'WITHSCORES')[2]
    return last and math.floor(last / SHARES) * 1000 - now or -1
  end

  function held.count(state, _, _, names, sizes)
    for _, each in ipairs(held.names(names, sizes)) do
      table.insert(state.taken, each)
    end
  end

  function held.left(state, most, _, names, sizes)
    local before = math.max(0, most - state.number)
    return before, math.max(0, before - held.fresh(state, names, sizes))
  end

  function held.write(key, state)
    for _, each in ipairs(state.taken) do
      local ending, holders = held.find(key, each.name)
      held.put(key, each.name, math.max(ending, math.ceil(now / 1000) + each.life), math.min(holders + 1, SHARES - 1))
    end
    -- More than a commit takes, so that those that ended never pile up, and few enough to take no time.
    local ended = call('ZRANGE', key, '-inf', '(' .. first_live, 'BYSCORE', 'LIMIT', 0, SWEPT)
    if #ended > 0 then
      call('ZREM', key, unpack(ended))
    end
    call('PEXPIREAT', key, whole(math.floor(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] / SHARES)))
  end

  -- INVARIANT: whoever held a name and does not give it back has it stay until its end: the key may be there.
  function held.give_back(key, _, _, _, _, names, sizes)
    for _, each in ipairs(held.names(names, sizes)) do
      local ending, holders = held.find(key, each.name)
      if holders == 1 then
        call('ZREM', key, each.name)
      elseif holders > 1 and holders < SHARES - 1 then
        held.put(key, each.name, ending, holders - 1)
      end
    end
  end

  return held
end

----- The commit

local spends, attempt, try
local kinds, kind_of = {}, nil

local function fields(i)
  local at = 2 + (i - 1) * FIELDS
  return args[at], args[at + 1], args[at + 2], args[at + 3], args[at + 4]
end

local function load(kind, key)
  return kind.load and kind.load(key) or kind.read(call('GET', key))
end

----- Rooms: an account is the ends of the keys that it pays for (ms), and how many keys end then, as MessagePack

local function rooms()
  local room = {}

  function room.read(raw)
    local ends, held = {}, 0
    local packed = raw and cmsgpack.unpack(raw) or {}
    for i = 1, #packed, 2 do
      if packed[i] * 1000 > now then
        ends[packed[i]] = packed[i + 1]
        held = held + packed[i + 1]
      end
    end
    return {ends = ends, held = held}
  end

  -- How many keys the account would pay for with these counts, and does not yet.
  -- INVARIANT: keys that others pay for are among them, or one account could make keys that another keeps for ever.
  local function fresh(account, first, last)
    local seen, found, number = {}, {}, 0
    for i = first, last do
      local key = keys[i]
      local name = fields(i)
      local state = states[key] or kind_of(name).read(call('GET', key))
      if name ~= 'n' and not seen[key] then
        local ending = state.known and call('PEXPIRETIME', key) or 0
        seen[key], found[ending] = true, (found[ending] or 0) + 1
        if found[ending] > (account.ends[ending] or 0) then
          number = number + 1
        end
      end
    end
    return number
  end

  function room.refuses(account, most, _, first, last)
    if account.held + last - first + 1 <= tonumber(most) then
      return false
    end
    local new = fresh(account, first, last)
    local excess = account.held + new - most
    if new == 0 or excess <= 0 then
      return false
    end
    local ends = {}
    for ending in pairs(account.ends) do
      ends[#ends + 1] = ending
    end
    table.sort(ends)
    for _, ending in ipairs(ends) do
      excess = excess - account.ends[ending]
      if excess <= 0 then
        return ending * 1000 - now
      end
    end
    return -1
  end

  function room.count()
  end

  function room.left(account, most, _, first, last)
    local before = math.max(0, most - account.held)
    return before, math.max(0, before - fresh(account, first, last))
  end

  function room.write(key, account)
    if not account.moved then
      return
    end
    local packed, latest = {}, 0
    for ending, number in pairs(account.ends) do
      if number > 0 then
        packed[#packed + 1], packed[#packed + 2] = ending, number
        latest = math.max(latest, ending)
      end
    end
    call('SET', key, cmsgpack.pack(packed), 'PXAT', latest)
    account.moved = false
  end

  -- Have an account ready for the keys that it pays for.
  function room.open(i)
    local key, _, _, _, first, last = keys[i], fields(i)
    states[key] = states[key] or room.read(call('GET', key))
    opened[#opened + 1] = key
    for j = first, last do
      paid[keys[j]] = paid[keys[j]] or {}
      table.insert(paid[keys[j]], states[key])
    end
  end

  -- Write the accounts, once the keys that they pay for are written.
  function room.close()
    for _, key in ipairs(opened) do
      room.write(key, states[key])
    end
  end

  return room
end

local MAKERS = {b = ties, u = uses, r = rates, m = marks, n = unmarked, q = rooms, h = holds}

function kind_of(name)
  local kind = kinds[name] or MAKERS[name]()
  kinds[name] = kind
  return kind
end

local function close_accounts()
  if kinds.q then
    kinds.q.close()
  end
end

-- Why a spend is not possible: nil when it is, else REFUSED or LATE and how long to wait.
local function refusal(i)
  local key, name, most, life, fingerprint, grace = keys[i], fields(i)
  if life == '0' then
    return LATE, 0
  end
  local kind = kind_of(name)
  states[key] = states[key] or load(kind, key)
  local wait = kind.refuses(states[key], most, life, fingerprint, grace)
  if wait then
    return REFUSED, wait
  end
end

local function look()
  local seen = {LOOKED, now}
  for i = 1, spends do
    local name, most, life, fingerprint, grace = fields(i)
    local kind, no, wait = kind_of(name), refusal(i)
    local state = states[keys[i]] or load(kind, keys[i])
    local before, after = kind.left(state, most, life, fingerprint, grace)
    for _, each in ipairs({no or 0, wait or 0, before, no and before or after}) do
      seen[#seen + 1] = each
    end
  end
  return seen
end

local function write()
  local remaining = -1
  for i = 1, spends do
    local name, most, life, fingerprint, grace = fields(i)
    local left = kind_of(name).count(states[keys[i]], most, life, fingerprint, grace)
    if left and (remaining < 0 or left < remaining) then
      remaining = left
    end
  end
  for i = 1, spends do
    local key, name = keys[i], fields(i)
    -- A key that two spends share is written once.
    if states[key] and name ~= 'q' then
      kind_of(name).write(key, states[key])
      states[key] = nil
    end
  end
  close_accounts()
  return remaining
end

-- What the attempt was answered before; nil when it is new. A step has one more try that relies on it.
local function before()
  local raw = attempt and call('GET', attempt)
  if not raw then
    return nil
  end
  local step = steps()
  local state = step.read(raw)
  local others, known, gone, is_gone = step.without(state.tries, try)
  if is_gone or not state.left and known then
    return {RETURNED, 0, 0, now}
  end
  if not state.left then
    returned = string.gsub(others, ' ', ' !')
    return nil
  end
  if try and args[1] ~= '0' and state.counted_at and not known then
    state.tries = others .. ' ' .. try .. gone
    step.write(attempt, state, 'KEEPTTL')
  elseif args[1] ~= '0' then
    -- A write, so that who waits for replicas waits for what the first try wrote.
    call('PEXPIRE', attempt, call('PTTL', attempt))
  end
  return {COMMITTED, state.left, 0, now}
end

-- INVARIANT: what this try counted or relied on is given back once, and only when no other try relies on it.
local function give_back()
  local step = steps()
  local state = step.read(call('GET', attempt) or 'x')
  local others, known, gone = step.without(state.tries, try)
  if state.left and (others ~= '' or not known) then
    if state.counted_at then
      state.tries = others .. gone .. ' !' .. try
      step.write(attempt, state, 'KEEPTTL')
    end
    return {GIVEN, 0, 0, now}
  end
  for i = 1, state.left and spends or 0 do
    local kind = kind_of(fields(i))
    kind.give_back(keys[i], load(kind, keys[i]), state.counted_at, select(2, fields(i)))
  end
  gone = string.gsub(gone, '!', '')
  call('SET', attempt, 'x' .. others .. gone .. ' ' .. try, 'PX', whole(-args[1]))
  return {GIVEN, state.left and 1 or 0, 0, now}
end

local function answer()
  if string.sub(args[1], 1, 1) == '-' then
    return give_back()
  end
  local repeated = before()
  if repeated then
    return repeated
  end
  if args[1] == '0' then
    return look()
  end
  for i = 1, spends do
    if fields(i) == 'q' then
      kind_of('q').open(i)
    end
  end
  for i = 1, spends do
    local no, wait = refusal(i)
    if no then
      -- Written as of now, a log from before the clock was set back is over in one window.
      if no == REFUSED and states[keys[i]].set_back then
        kinds.r.write(keys[i], states[keys[i]])
        close_accounts()
      end
      return {no, i - 1, wait, now}
    end
  end
  local remaining = write()
  if try then
    steps().write(attempt, {left = remaining, counted_at = now, tries = ' ' .. try .. returned}, 'PX', args[1])
  elseif attempt then
    call('SET', attempt, remaining, 'PX', args[1])
  end
  return {COMMITTED, remaining, 0, now}
end

local answers, k, a = {}, 0, 0
while a < #ARGV do
  local last_key, last_arg = k + ARGV[a + 1], a + 2 + ARGV[a + 2]
  keys, args = {unpack(KEYS, k + 1, last_key)}, {unpack(ARGV, a + 3, last_arg)}
  k, a = last_key, last_arg
  spends = math.floor((#args - 1) / FIELDS)
  attempt, try = keys[spends + 1], args[2 + spends * FIELDS]
  states, paid, opened, returned = {}, {}, {}, ''
  -- INVARIANT: what is wrong with one request, as a value of a kind that is none of ours, is an error of that one alone.
  -- A server's pcall gives an error as its text, which begins with a code when it is a command's.
  local is_fine, found = pcall(answer)
  answers[#answers + 1] = is_fine and found or {err = string.find(found, '^%u+ ') and found or 'ERR ' .. found}
end
return answers
