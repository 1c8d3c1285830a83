-- What all steps share. ARGV[1] is the application's time in milliseconds; deadlines are compared
-- with it and not with the server's, so that all of them are by one clock.
-- The layout of values is described in wire.rs, and what a word with a question mark means in steps.rs.
local now = tonumber(ARGV[1])

local function revision_of(value)
  return value:sub(40, 55)
end

local function header_of(value)
  return value:sub(1, 168)
end

local function expires_of(value)
  return tonumber(value:sub(6, 21)) or 0
end

-- Whether the history of `value`, its revision and the four before it, has `revision`.
local function has_had(value, revision)
  return value:sub(40, 123):find(revision, 1, true) ~= nil
end

-- Returns `value` with the history of `old`, the record that it replaces.
local function after(old, value)
  return value:sub(1, 56) .. old:sub(40, 106) .. value:sub(124)
end

-- The mark on a word that another copy of this call may contradict: the history does not have this
-- call's revision, but it has lost its beginning and does not reach back to `expected` either.
local function doubt(value, expected)
  local is_whole = value:sub(108, 123) == '----------------'
  return (is_whole or (expected and has_had(value, expected))) and '' or '?'
end

-- 'R' and a record, 'T' and a tombstone, '?' for what is not ours, nil for nothing or what has expired.
local function found(key)
  local value = redis.pcall('GET', key)
  if not value then return nil end
  if type(value) == 'table' then
    if value.err and value.err:find('WRONGTYPE', 1, true) then return '?' end
    error(value.err)
  end
  if #value < 168 or value:sub(1, 3) ~= 'CR1' then return '?' end
  if expires_of(value) <= now then return nil end
  return value:sub(4, 4), value
end

-- Sets value and time to live in one step: there is no key without one.
local function put(key, value)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.max(1, expires_of(value) - now)))
end

-- Notes in the two sets of an owner's index that `value` has a record under the name ARGV[2]. The entry
-- outlives the record by one idle time, so that a touch whose own entry is lost does not hide a live
-- session.
local function index(by_deadline, by_name, value)
  if not by_deadline then return end
  local score = expires_of(value) + (tonumber(value:sub(23, 38)) or 0)
  local past = string.format('%.0f', now)
  -- Some at a time, because a script keeps every other client waiting. The next write goes on.
  local expired = redis.call('ZRANGE', by_deadline, '-inf', past, 'BYSCORE', 'LIMIT', 0, 100)
  if #expired > 0 then
    redis.call('ZREM', by_name, unpack(expired))
    redis.call('ZREM', by_deadline, unpack(expired))
  end
  redis.call('ZADD', by_deadline, 'GT', string.format('%.0f', score), ARGV[2])
  redis.call('ZADD', by_name, 0, ARGV[2])
  for _, key in ipairs({ by_deadline, by_name }) do
    if redis.call('PTTL', key) < score - now then
      redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, score - now)))
    end
  end
end
