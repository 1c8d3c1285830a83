-- The functions of all steps. ARGV[1] is the application's time in milliseconds. Deadlines are compared
-- with it and not with the server's time, so that all of them follow one clock.
-- wire.rs describes the layout of values, and steps.rs the meaning of a word with a question mark.
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

-- Returns true if the history of `value`, its revision and the four before it, has `revision`.
local function has_had(value, revision)
  return value:sub(40, 123):find(revision, 1, true) ~= nil
end

-- Returns `value` with the history of `old`, the record that it replaces.
local function after(old, value)
  return value:sub(1, 56) .. old:sub(40, 106) .. value:sub(124)
end

-- Returns the mark on a word that another copy of this call may contradict: the history lacks this
-- call's revision, but it has lost its beginning and does not reach back to `expected`.
local function doubt(value, expected)
  local is_whole = value:sub(108, 123) == '----------------'
  return (is_whole or (expected and has_had(value, expected))) and '' or '?'
end

-- Returns 'R' and a record, 'T' and a tombstone, '?' for an unreadable value, or nil if the key is unset or
-- expired.
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

-- Sets value and time to live in one step, so that no key exists without a time to live.
local function put(key, value)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.max(1, expires_of(value) - now)))
end

-- Writes something about `key` without changing it. A second copy of a call has nothing to write, and a
-- WAIT after it counts the replicas that have the last write of its own connection.
local function write_again(key)
  redis.call('PEXPIRE', key, redis.call('PTTL', key))
end

-- Adds the record of `value`, whose name is ARGV[2], to the two sets of an owner's index. The entry
-- outlives the record by one idle timeout, so that a live session stays listed if a touch cannot update
-- its entry.
local function index(by_deadline, by_name, value)
  if not by_deadline then return end
  local score = expires_of(value) + (tonumber(value:sub(23, 38)) or 0)
  local past = string.format('%.0f', now)
  -- A limited number, because a script blocks all other clients. The next write removes more.
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
