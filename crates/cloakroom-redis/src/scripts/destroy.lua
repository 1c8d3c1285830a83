-- KEYS: the record's. ARGV: now, name, tombstone. Replies with the header of the record that it ended. A
-- second copy of the call replies with the revision only.
local kind, value = found(KEYS[1])
if kind == 'T' and revision_of(value) == revision_of(ARGV[3]) then
  write_again(KEYS[1])
  return { 'done', value:sub(57, 72) }
end
if kind ~= 'R' then
  -- If an earlier copy of this call had written its tombstone, no other tombstone would be here.
  return { kind == 'T' and 'gone' or 'gone?' }
end
local ttl = string.format('%.0f', math.max(1, expires_of(ARGV[3]) - now))
local buried = redis.pcall('SET', KEYS[1], after(value, ARGV[3]), 'PX', ttl)
if buried.err then
  -- A logout has to work on a full server. Without the tombstone, the key has no record, and a concurrent
  -- request cannot change it either.
  if not buried.err:find('OOM', 1, true) then return buried end
  redis.call('DEL', KEYS[1])
end
return { 'done', header_of(value) }
