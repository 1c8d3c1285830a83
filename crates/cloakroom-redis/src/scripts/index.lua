-- KEYS: an owner's index. ARGV: now, name, value.
index(KEYS[1], ARGV[3])
return { 'done' }
