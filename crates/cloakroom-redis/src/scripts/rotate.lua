-- KEYS: the old and the new, the two of the owner's index if there is one.
-- ARGV: now, new name, new value, expected revision or '', tombstone.
-- Without a revision the session ends, and the reply has the header of its record.
local kind, value = found(KEYS[1])
if kind == 'T' and revision_of(value) == revision_of(ARGV[5]) then
  write_again(KEYS[1])
  return { 'done' }
end
if kind ~= 'R' then
  -- If an earlier copy of this call had written its tombstone, no other tombstone would be here.
  return { kind == 'T' and 'gone' or 'gone?' }
end
if ARGV[4] ~= '' and revision_of(value) ~= ARGV[4] then
  return { 'conflict', value }
end
if found(KEYS[2]) then
  return { 'exists' }
end
index(KEYS[3], KEYS[4], ARGV[3])
put(KEYS[2], ARGV[3])
put(KEYS[1], after(value, ARGV[5]))
if ARGV[4] == '' then
  return { 'done', header_of(value) }
end
return { 'done' }
