-- One shared cell (coffer_core::lease), in microseconds of this server's clock: when what was taken will have been earned.
-- KEYS: the cell. ARGV: units a minute, units at once, carry, settled, needed, wanted. Answers units, and how long they are owed.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local per_minute, burst, carry = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local settled, needed, wanted = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local function us(units) return math.ceil(units * 60000000 / per_minute) end

local earned = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
-- No cell is further in debt than this, whatever happened to the rate or to the clock.
earned = math.min(math.max(earned + us(settled), now), now + us(burst + carry))
local left = math.max(math.floor((us(burst) - (earned - now)) * per_minute / 60000000), 0)
local units = math.min(left, math.max(needed, math.min(wanted, math.floor(left / 8))))
earned = earned + us(units)
if earned > now then
  redis.call('SET', KEYS[1], string.format('%.0f', earned), 'PX', math.ceil((earned - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
return {units, earned - now}
