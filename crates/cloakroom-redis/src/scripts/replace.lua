-- KEYS: the record's, its owner's index if there is one. ARGV: now, name, value, expected revision.
local kind, value = found(KEYS[1])
if kind ~= 'R' then
  return { 'gone' }
end
if revision_of(value) == revision_of(ARGV[3]) then
  return { 'done' }
end
if revision_of(value) ~= ARGV[4] then
  return { 'conflict', value }
end
index(KEYS[2], ARGV[3])
put(KEYS[1], ARGV[3])
return { 'done' }
