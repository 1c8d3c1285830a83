-- KEYS: the record's, the two of its owner's index if there is one. ARGV: now, name, value.
local kind, value = found(KEYS[1])
if not kind then
  index(KEYS[2], KEYS[3], ARGV[3])
  put(KEYS[1], ARGV[3])
  return { 'done' }
end
if not value then
  return { 'exists' }
end
if has_had(value, revision_of(ARGV[3])) then
  return { 'done' }
end
return { 'exists' .. doubt(value) }
