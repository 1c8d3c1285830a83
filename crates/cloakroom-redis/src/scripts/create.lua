-- KEYS: the record's, its owner's index if there is one. ARGV: now, name, value.
local kind, value = found(KEYS[1])
if kind == 'R' and revision_of(value) == revision_of(ARGV[3]) then
  return { 'done' }
end
if kind then
  return { 'exists' }
end
index(KEYS[2], ARGV[3])
put(KEYS[1], ARGV[3])
return { 'done' }
