-- KEYS: the record's. Answers the value and whether the deadline was moved.
local kind, value = found(KEYS[1])
if kind ~= 'R' then
  return { kind or '', value or '' }
end
local expires, idle = expires_of(value), tonumber(value:sub(23, 38)) or 0
if now + idle - expires <= idle / 10 then
  return { kind, value }
end
local moved = string.format('%016.0f', now + idle)
-- A server that is full or a replica refuses; reading goes on all the same.
local written = redis.pcall('SETRANGE', KEYS[1], 5, moved)
if type(written) == 'table' then
  return { kind, value }
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', idle))
return { kind, value:sub(1, 5) .. moved .. value:sub(22), 'touched' }
