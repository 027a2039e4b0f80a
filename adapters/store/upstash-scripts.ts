/**
 * The Lua scripts of the Upstash store: each is one operation, and Redis runs it alone.
 *
 * Every value in a reply begins with `=`, and a lone `-` stands for a missing one: the client may have been told to
 * parse what it can, and of these it can parse none, so that text comes back as the text it was.
 */
export interface Script {
  readonly text: string;
  /** SHA-1 of the text, in hex: by it Redis finds a script that it has run before. */
  readonly sha1: () => Promise<string>;
}

const sha1Hex = async (text: string): Promise<string> => {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
};

const script = (text: string): Script => {
  let digest: Promise<string> | undefined;
  return { text, sha1: () => (digest ??= sha1Hex(text)) };
};

/** Events of one key. Upstash ends a key at 100 MB, and a history must not end. */
export const segmentEvents = 256;

/**
 * Writes everything of a commit or nothing. Called again with the same commit it finds its events in place, says ok and
 * writes nothing, however much later that is: an unknown outcome is resolved by calling again.
 *
 * Redis takes nothing back by itself when a command inside a script fails. So everything is looked at before the first
 * write, each write leaves behind how it is undone, and the one that makes the rest visible comes last.
 */
export const commitScript = script(`
local experimentKey = KEYS[1]
local typesKey = KEYS[2]
local versionsKey = KEYS[3]
local personalKey = KEYS[4]
local refsKey = KEYS[5]
local actorsKey = KEYS[6]
local receiptsKey = KEYS[7]
local expiriesKey = KEYS[8]
local rulesKey = KEYS[9]
local digestsKey = KEYS[10]
local listKey = KEYS[11]
local claimsKey = KEYS[12]
local tailKey = KEYS[13]
-- KEYS[14] and on: the segments that the events go to.

local experiment = ARGV[1]
local expectSeq = ARGV[2]
local expectHash = ARGV[3]
local nowMs = tonumber(ARGV[4])
local hasSnapshot = ARGV[5] == '1'
local lifecycle = ARGV[6]
local revision = ARGV[7]
local revisionHash = ARGV[8]
local people = ARGV[9]
local state = ARGV[10]
local hasReceipt = ARGV[11] == '1'
local receiptKey = ARGV[12]
local receipt = ARGV[13]
local receiptExpiresAtMs = ARGV[14]
local receiptLifetimeMs = tonumber(ARGV[15])
local eventCount = tonumber(ARGV[16])
local personalCount = tonumber(ARGV[17])
local rulesCount = tonumber(ARGV[18])
local releaseCount = tonumber(ARGV[19])
local takeCount = tonumber(ARGV[20])

local place = 20
local function argument()
  place = place + 1
  return ARGV[place]
end

local events = {}
for index = 1, eventCount do
  local event = {}
  event.segment = KEYS[tonumber(argument())]
  event.seq = argument()
  event.paddedSeq = argument()
  event.type = argument()
  event.at = argument()
  event.version = argument()
  event.prevHash = argument()
  event.hash = argument()
  event.people = argument()
  event.text = argument()
  events[index] = event
end
local personal = {}
for index = 1, personalCount do
  local value = {}
  value.ref = argument()
  value.isActor = argument() == '1'
  value.value = argument()
  value.row = argument()
  personal[index] = value
end
local rules = {}
for index = 1, rulesCount do
  local set = {}
  set.digest = argument()
  set.text = argument()
  rules[index] = set
end
local release = {}
for index = 1, releaseCount do release[index] = argument() end
local take = {}
for index = 1, takeCount do take[index] = argument() end

local undo = {}
local function write(inverse, ...)
  redis.call(...)
  undo[#undo + 1] = inverse
end
local function put(key, field, value)
  local before = redis.call('HGET', key, field)
  if before == value then return end
  local inverse = before and { 'HSET', key, field, before } or { 'HDEL', key, field }
  write(inverse, 'HSET', key, field, value)
end
local function drop(key, field)
  local before = redis.call('HGET', key, field)
  if before then write({ 'HSET', key, field, before }, 'HDEL', key, field) end
end
local function enlist(key, member)
  if redis.call('ZSCORE', key, member) then return end
  write({ 'ZREM', key, member }, 'ZADD', key, '0', member)
end
local function delist(key, member)
  if redis.call('ZSCORE', key, member) then write({ 'ZADD', key, '0', member }, 'ZREM', key, member) end
end

-- Of one person there is one reference, and of one reference one person: as they stand, and within the commit.
local function clashes()
  local rows = {}
  local actors = {}
  for _, value in ipairs(personal) do
    local row = rows[value.ref] or redis.call('HGET', personalKey, value.ref)
    if row and row ~= value.row then return true end
    rows[value.ref] = value.row
    if value.isActor then
      local ref = actors[value.value] or redis.call('HGET', actorsKey, value.value)
      if ref and ref ~= value.ref then return true end
      actors[value.value] = value.ref
    end
  end
  for _, set in ipairs(rules) do
    local text = redis.call('HGET', rulesKey, set.digest)
    if text and text ~= set.text then return true end
  end
  return false
end

local function commit()
  local known = redis.call('HMGET', experimentKey, 'seq', 'hash', 'lifecycle')
  local headSeq = known[1] or '0'
  local headHash = known[2] or string.rep('0', 64)
  local last = events[eventCount]
  -- An event behind the head is none, whoever left it there.
  local isPast = tonumber(last.seq) <= tonumber(headSeq)
  if isPast and redis.call('HGET', last.segment, 'hash:' .. last.seq) == last.hash then return { '=ok' } end
  if hasReceipt then
    local expiresAtMs = redis.call('ZSCORE', expiriesKey, receiptKey)
    if expiresAtMs and tonumber(expiresAtMs) > nowMs then return { '=receipt' } end
  end
  if headSeq ~= expectSeq or headHash ~= expectHash then return { '=stale' } end
  for _, claim in ipairs(take) do
    local holder = redis.call('HGET', claimsKey, claim)
    if holder and holder ~= experiment then return { '=claimed', '=' .. claim, '=' .. holder } end
  end
  if clashes() then return { '=clash' } end

  -- The history is appended to and nothing else, whoever calls this.
  if headSeq ~= '0' and redis.call('HGET', tailKey, 'hash:' .. headSeq) ~= headHash then return { '=torn' } end
  local seq = tonumber(headSeq)
  local hash = headHash
  for _, event in ipairs(events) do
    if tonumber(event.seq) ~= seq + 1 or event.prevHash ~= hash then return { '=unlinked' } end
    if redis.call('HEXISTS', event.segment, event.seq) == 1 then return { '=torn' } end
    seq = seq + 1
    hash = event.hash
  end

  for _, event in ipairs(events) do
    write({ 'HDEL', event.segment, event.seq, 'hash:' .. event.seq, 'people:' .. event.seq },
      'HSET', event.segment, event.seq, event.text, 'hash:' .. event.seq, event.hash, 'people:' .. event.seq, event.people)
    enlist(typesKey, event.type .. ':' .. event.paddedSeq)
    if event.version ~= '' then put(versionsKey, event.version, event.seq) end
  end
  for _, value in ipairs(personal) do
    put(personalKey, value.ref, value.row)
    enlist(refsKey, value.ref)
    if value.isActor then put(actorsKey, value.value, value.ref) end
  end
  for _, set in ipairs(rules) do
    put(rulesKey, set.digest, set.text)
    enlist(digestsKey, set.digest)
  end
  for _, claim in ipairs(release) do
    if redis.call('HGET', claimsKey, claim) == experiment then drop(claimsKey, claim) end
  end
  for _, claim in ipairs(take) do put(claimsKey, claim, experiment) end
  if hasReceipt then
    put(receiptsKey, receiptKey, receipt)
    local before = redis.call('ZSCORE', expiriesKey, receiptKey)
    local inverse = before and { 'ZADD', expiriesKey, before, receiptKey } or { 'ZREM', expiriesKey, receiptKey }
    write(inverse, 'ZADD', expiriesKey, receiptExpiresAtMs, receiptKey)
  end
  if hasSnapshot and known[3] ~= lifecycle then
    if known[3] then delist(listKey, known[3] .. ':' .. experiment) end
    enlist(listKey, lifecycle .. ':' .. experiment)
    enlist(listKey, ':' .. experiment)
  end
  if hasSnapshot then
    redis.call('HSET', experimentKey, 'seq', last.seq, 'hash', last.hash, 'at', last.at, 'lifecycle', lifecycle,
      'revision', revision, 'revisionHash', revisionHash, 'people', people, 'state', state)
  else
    redis.call('HSET', experimentKey, 'seq', last.seq, 'hash', last.hash, 'at', last.at)
  end
  undo = {}
  return { '=ok' }
end

-- Receipts end by themselves: those that have ended go with the next one, and all of them with their key's time to live.
local function tidy()
  local ended = redis.call('ZRANGEBYSCORE', expiriesKey, '-inf', ARGV[4], 'LIMIT', '0', '100')
  for _, key in ipairs(ended) do
    redis.call('HDEL', receiptsKey, key)
    redis.call('ZREM', expiriesKey, key)
  end
  for _, key in ipairs({ receiptsKey, expiriesKey }) do
    if redis.call('PTTL', key) < receiptLifetimeMs then redis.call('PEXPIRE', key, ARGV[15]) end
  end
end

local done, reply = pcall(commit)
if not done then
  for index = #undo, 1, -1 do redis.pcall(unpack(undo[index])) end
  return { '=failed', '=' .. (type(reply) == 'table' and reply.err or tostring(reply)) }
end
if reply[1] == '=ok' and hasReceipt then pcall(tidy) end
return reply
`);

/** One consistent reading of an experiment. */
export const loadScript = script(`
local experimentKey = KEYS[1]
local personalKey = KEYS[2]
local actorsKey = KEYS[3]
local receiptsKey = KEYS[4]

local wantsReceipt = ARGV[1] == '1'
local receiptKey = ARGV[2]
local wantsActor = ARGV[3] == '1'
local actor = ARGV[4]

local function shown(value)
  return value and '=' .. value or '-'
end

local known = redis.call('HMGET', experimentKey, 'seq', 'hash', 'at', 'revision', 'revisionHash', 'state', 'people')
if not known[1] then return {} end
local reply = {}
for index = 1, 6 do reply[index] = shown(known[index]) end
reply[7] = wantsReceipt and shown(redis.call('HGET', receiptsKey, receiptKey)) or '-'
reply[8] = wantsActor and shown(redis.call('HGET', actorsKey, actor)) or '-'
for _, ref in ipairs(cjson.decode(known[7])) do
  local row = redis.call('HGET', personalKey, ref)
  if row then
    reply[#reply + 1] = '=' .. ref
    reply[#reply + 1] = '=' .. row
  end
end
return reply
`);

/**
 * Events by their places, with the personal values that they name. Stops early when the answer gets too large to send.
 * A place at or before the head without an event is left out: whoever verifies the chain finds the gap.
 */
export const eventsScript = script(`
local experimentKey = KEYS[1]
local personalKey = KEYS[2]
-- KEYS[3] and on: segments.

local bytesMax = tonumber(ARGV[1])
-- ARGV[2] and on: a segment's place in KEYS and a seq in it, by turns.

local known = redis.call('HMGET', experimentKey, 'seq', 'first')
local head = tonumber(known[1] or '0')
local first = tonumber(known[2] or '1')
local events = {}
local refs = {}
local seen = {}
local bytes = 0
local cutAt = '-'
for index = 2, #ARGV, 2 do
  local segment = KEYS[tonumber(ARGV[index])]
  local seq = ARGV[index + 1]
  if tonumber(seq) > head then break end
  local found = tonumber(seq) < first and {} or redis.call('HMGET', segment, seq, 'people:' .. seq)
  if found[1] then
    bytes = bytes + #found[1]
    if bytes > bytesMax and #events > 0 then break end
    events[#events + 1] = '=' .. found[1]
    for _, ref in ipairs(cjson.decode(found[2] or '[]')) do
      if not seen[ref] then
        seen[ref] = true
        refs[#refs + 1] = ref
      end
    end
  end
  cutAt = '=' .. seq
end
local reply = { '=' .. string.format('%.0f', head), '=' .. string.format('%.0f', first), cutAt, '=' .. #events }
for _, event in ipairs(events) do reply[#reply + 1] = event end
for _, ref in ipairs(refs) do
  local row = redis.call('HGET', personalKey, ref)
  if row then
    reply[#reply + 1] = '=' .. ref
    reply[#reply + 1] = '=' .. row
  end
end
return reply
`);

/** The next seqs of some types, each from the index: the work depends on the page, not on how long the history is. */
export const seqsScript = script(`
local typesKey = KEYS[1]
local versionsKey = KEYS[2]

local paddedAfter = ARGV[1]
local limit = ARGV[2]
local version = ARGV[3]
-- ARGV[4] and on: types.

local reply = {}
if version ~= '' then
  local seq = redis.call('HGET', versionsKey, version)
  if seq then reply[1] = '=' .. seq end
  return reply
end
for index = 4, #ARGV do
  local type = ARGV[index]
  local found = redis.call('ZRANGEBYLEX', typesKey, '(' .. type .. ':' .. paddedAfter, '(' .. type .. ';', 'LIMIT', '0', limit)
  for _, member in ipairs(found) do reply[#reply + 1] = '=' .. string.sub(member, #type + 2) end
end
return reply
`);

/** The next names of a scope: all of them, those in some states, or the one that holds a claim. */
export const namesScript = script(`
local listKey = KEYS[1]
local claimsKey = KEYS[2]

local after = ARGV[1]
local limit = ARGV[2]
local byClaim = ARGV[3] == '1'
local claim = ARGV[4]
-- ARGV[5] and on: what comes ahead of the colon in the index; nothing for all names.

if byClaim then
  local holder = redis.call('HGET', claimsKey, claim)
  if holder and redis.call('ZLEXCOUNT', listKey, '(:' .. after, '[:' .. holder) > 0 then return { '=' .. holder } end
  return {}
end
local reply = {}
for index = 5, #ARGV do
  local prefix = ARGV[index]
  local found = redis.call('ZRANGEBYLEX', listKey, '(' .. prefix .. ':' .. after, '(' .. prefix .. ';', 'LIMIT', '0', limit)
  for _, member in ipairs(found) do reply[#reply + 1] = '=' .. string.sub(member, #prefix + 2) end
end
return reply
`);

/** The snapshots of some experiments, as many as can be sent: four values each. */
export const snapshotsScript = script(`
-- KEYS: experiments.

local bytesMax = tonumber(ARGV[1])

local reply = {}
local bytes = 0
for _, experimentKey in ipairs(KEYS) do
  local found = redis.call('HMGET', experimentKey, 'lifecycle', 'revision', 'revisionHash', 'state')
  bytes = bytes + (found[4] and #found[4] or 0)
  if bytes > bytesMax and #reply > 0 then break end
  for index = 1, 4 do reply[#reply + 1] = found[index] and '=' .. found[index] or '-' end
end
return reply
`);

/** A page of a hash whose fields are listed in order beside it. */
export const rowsScript = script(`
local rowsKey = KEYS[1]
local orderKey = KEYS[2]

local from = ARGV[1]
local limit = ARGV[2]

local reply = {}
for _, field in ipairs(redis.call('ZRANGEBYLEX', orderKey, from, '+', 'LIMIT', '0', limit)) do
  reply[#reply + 1] = '=' .. field
  local row = redis.call('HGET', rowsKey, field)
  reply[#reply + 1] = row and '=' .. row or '-'
end
return reply
`);

/** Rows by their fields, in the order of the fields, until there are enough. */
export const someRowsScript = script(`
local rowsKey = KEYS[1]

local limit = tonumber(ARGV[1])
-- ARGV[2] and on: fields.

local reply = {}
for index = 2, #ARGV do
  local row = redis.call('HGET', rowsKey, ARGV[index])
  if row and #reply < 2 * limit then
    reply[#reply + 1] = '=' .. ARGV[index]
    reply[#reply + 1] = '=' .. row
  end
end
return reply
`);

/** Removes personal values for good, and the stored answers, which may name them. */
export const eraseScript = script(`
local personalKey = KEYS[1]
local refsKey = KEYS[2]
local actorsKey = KEYS[3]
local receiptsKey = KEYS[4]
local expiriesKey = KEYS[5]
-- ARGV: references.

for _, ref in ipairs(ARGV) do
  local row = redis.call('HGET', personalKey, ref)
  if row then
    local value = cjson.decode(row)
    if value.kind == 'actor' then redis.call('HDEL', actorsKey, value.value) end
    redis.call('HDEL', personalKey, ref)
  end
  redis.call('ZREM', refsKey, ref)
end
redis.call('DEL', receiptsKey, expiriesKey)
return { '=ok' }
`);

/** Where the history begins, and the checkpoint there. */
export const checkpointScript = script(`
local experimentKey = KEYS[1]

local known = redis.call('HMGET', experimentKey, 'first', 'checkpoint')
if not known[2] then return {} end
return { '=' .. known[1], '=' .. known[2] }
`);

/**
 * Keeps a checkpoint, and removes what is before it. The place counts from the moment it is kept: what a failure leaves
 * of the removal is no longer read, and goes when this is called again.
 */
export const archiveScript = script(`
local experimentKey = KEYS[1]
local typesKey = KEYS[2]
local versionsKey = KEYS[3]
local segmentKey = KEYS[4] -- of the checkpoint
-- KEYS[5] and on: the segments before it.

local seq = ARGV[1]
local paddedSeq = ARGV[2]
local hash = ARGV[3]
local checkpoint = ARGV[4]
local segmentStart = tonumber(ARGV[5])
-- ARGV[6] and on: types of events.

local known = redis.call('HMGET', experimentKey, 'seq', 'first', 'checkpoint')
local place = tonumber(seq)
if not known[1] or place > tonumber(known[1]) or place < tonumber(known[2] or '1') then return { '=no' } end
if redis.call('HGET', segmentKey, 'hash:' .. seq) ~= hash then return { '=no' } end
if not known[3] or known[2] ~= seq then redis.call('HSET', experimentKey, 'first', seq, 'checkpoint', checkpoint) end

for index = 5, #KEYS do redis.call('DEL', KEYS[index]) end
for before = segmentStart, place - 1 do
  local name = string.format('%.0f', before)
  redis.call('HDEL', segmentKey, name, 'hash:' .. name, 'people:' .. name)
end
for index = 6, #ARGV do
  redis.call('ZREMRANGEBYLEX', typesKey, '[' .. ARGV[index] .. ':', '(' .. ARGV[index] .. ':' .. paddedSeq)
end
local versions = redis.call('HGETALL', versionsKey)
for index = 1, #versions, 2 do
  if tonumber(versions[index + 1]) < place then redis.call('HDEL', versionsKey, versions[index]) end
end
return { '=ok' }
`);

/** A page of receipts in the order of their keys, and no more bytes than one answer may have. */
export const receiptsScript = script(`
local receiptsKey = KEYS[1]
local expiriesKey = KEYS[2]

local after = ARGV[1]
local limit = tonumber(ARGV[2])
local nowMs = ARGV[3]
local bytesMax = tonumber(ARGV[4])

local keys = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', expiriesKey, '(' .. nowMs, '+inf')) do
  if key > after then keys[#keys + 1] = key end
end
table.sort(keys)
local reply = { #keys > limit and '=1' or '=0' }
local bytes = 0
for index = 1, math.min(#keys, limit) do
  local receipt = redis.call('HGET', receiptsKey, keys[index])
  if receipt then
    bytes = bytes + #receipt
    if #reply > 1 and bytes > bytesMax then
      reply[1] = '=1'
      break
    end
    reply[#reply + 1] = '=' .. keys[index]
    reply[#reply + 1] = '=' .. receipt
  end
end
return reply
`);

/** Keeps receipts of an experiment that is known here: under each key the one that ends later. */
export const keepReceiptsScript = script(`
local experimentKey = KEYS[1]
local receiptsKey = KEYS[2]
local expiriesKey = KEYS[3]

local lifetimeMsMin = ARGV[1]
-- ARGV[2] and on, for each: its key, when it ends in ms, and what is stored.

if redis.call('EXISTS', experimentKey) == 0 then return { '=ok' } end
local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000
for index = 2, #ARGV, 3 do
  local key = ARGV[index]
  local expiresAtMs = ARGV[index + 1]
  local lifetimeMs = math.max(tonumber(lifetimeMsMin), tonumber(expiresAtMs) - nowMs)
  local before = redis.call('ZSCORE', expiriesKey, key)
  if not before or tonumber(before) < tonumber(expiresAtMs) then
    redis.call('HSET', receiptsKey, key, ARGV[index + 2])
    redis.call('ZADD', expiriesKey, expiresAtMs, key)
    for _, kept in ipairs({ receiptsKey, expiriesKey }) do
      if redis.call('PTTL', kept) < lifetimeMs then redis.call('PEXPIRE', kept, string.format('%.0f', lifetimeMs)) end
    end
  end
end
return { '=ok' }
`);

/** Removes receipts that have ended. */
export const sweepScript = script(`
local receiptsKey = KEYS[1]
local expiriesKey = KEYS[2]

local nowMs = ARGV[1]

for _, key in ipairs(redis.call('ZRANGEBYSCORE', expiriesKey, '-inf', nowMs)) do
  redis.call('HDEL', receiptsKey, key)
  redis.call('ZREM', expiriesKey, key)
end
return { '=ok' }
`);

/** How far each subscriber has been told. */
export const positionsScript = script(`
local positionsKey = KEYS[1]

local reply = {}
for _, value in ipairs(redis.call('HGETALL', positionsKey)) do reply[#reply + 1] = '=' .. value end
return reply
`);

/** Moves a subscriber's position on, never back. */
export const advanceScript = script(`
local positionsKey = KEYS[1]

local subscriber = ARGV[1]
local seq = ARGV[2]

local before = redis.call('HGET', positionsKey, subscriber)
if not before or tonumber(before) < tonumber(seq) then redis.call('HSET', positionsKey, subscriber, seq) end
return { '=ok' }
`);

/** What the server says of its memory; a provider may forbid to ask. */
export const memoryScript = script(`
local reply = redis.pcall('INFO', 'memory')
if type(reply) == 'table' then return { '-' } end
return { '=' .. reply }
`);
