-- KEYS: the record's. ARGV: now, name, tombstone. Replies with the header of the record that it ended,
-- a second copy of the call with the revision alone.
local kind, value = found(KEYS[1])
if kind == 'T' and revision_of(value) == revision_of(ARGV[3]) then
  return { 'done', value:sub(57, 72) }
end
if kind ~= 'R' then
  -- Another's tombstone would not be there if this call had left one.
  return { kind == 'T' and 'gone' or 'gone?' }
end
local ttl = string.format('%.0f', math.max(1, expires_of(ARGV[3]) - now))
local buried = redis.pcall('SET', KEYS[1], after(value, ARGV[3]), 'PX', ttl)
if buried.err then
  -- A logout has to work on a full server. Without its tombstone the key leads to nothing, which no
  -- request can change either.
  if not buried.err:find('OOM', 1, true) then return buried end
  redis.call('DEL', KEYS[1])
end
return { 'done', header_of(value) }
