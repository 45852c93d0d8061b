-- Logs an event that no other script of the organization's slot logs with its change.
-- KEYS log
-- ARGV local id of the link, at (ms)
--      the event's arguments
-- Returns 1.
local log = KEYS[1]
local id, at = ARGV[1], ARGV[2]

add_event(log, at, id, {unpack(ARGV, 3, 2 + EVENT_ARGS)})
return 1
