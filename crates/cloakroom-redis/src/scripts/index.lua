-- KEYS: the two of an owner's index. ARGV: now, name, value.
index(KEYS[1], KEYS[2], ARGV[3])
return { 'done' }
