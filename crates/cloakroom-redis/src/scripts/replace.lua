-- KEYS: the record's, the two of its owner's index if there is one.
-- ARGV: now, name, value up to the history, expected revision, value after the history. The value comes in
-- parts, because each copy of a long record takes time in Lua.
local kind, value = found(KEYS[1])
if kind == 'R' and revision_of(value) == ARGV[4] then
  index(KEYS[2], KEYS[3], ARGV[3])
  put(KEYS[1], ARGV[3] .. value:sub(40, 106) .. ARGV[5])
  return { 'done' }
end
if not value then
  return { 'gone?' }
end
-- An earlier copy wrote it. The record may have been replaced, destroyed or rotated since.
if has_had(value, revision_of(ARGV[3])) then
  return { 'done' }
end
if kind == 'T' then
  return { 'gone' .. doubt(value, ARGV[4]) }
end
return { 'conflict' .. doubt(value, ARGV[4]), value }
