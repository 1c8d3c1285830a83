-- KEYS: the record's. ARGV: now, name, deadline, expected revision.
-- No word has a mark, because another write overrides a touch, and a touch that is carried out twice moves
-- the deadline to the same time twice.
local kind, value = found(KEYS[1])
if kind ~= 'R' then
  return { 'gone' }
end
if revision_of(value) ~= ARGV[4] then
  return { 'conflict', value }
end
redis.call('SETRANGE', KEYS[1], 5, ARGV[3])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(1, tonumber(ARGV[3]) - now)))
return { 'done', value:sub(1, 5) .. ARGV[3] .. value:sub(22) }
