-- Sends the requests of a file in turn; where one holds ########, its number is put there.
local requests, sent = {}, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for request in file:read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = request end
  file:close()
  sent = tonumber(arguments[2])
end

function request()
  sent = sent + 1
  return (requests[sent % #requests + 1]:gsub("########", string.format("%08d", sent)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "failed": %d, "refused": %d, "p50 ms": %f, "p99 ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
