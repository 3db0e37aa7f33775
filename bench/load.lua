-- Sends the requests of a file, one a line: method, path, body, separated by tabs. Arguments: the file, a key, and how
-- many threads there are. Each thread takes its own share of the lines, in order, and begins anew at the end.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  local path_of_file, key, share = arguments[1], arguments[2], tonumber(arguments[3])
  local headers = { ["Authorization"] = "Bearer " .. key, ["Content-Type"] = "application/json" }
  requests = {}
  position = 0
  local line_number = 0
  for line in io.lines(path_of_file) do
    if line_number % share == number then
      local method, path, body = line:match("^(%S+)\t(%S+)\t(.*)$")
      if path == "/health" then
        requests[#requests + 1] = wrk.format(method, path)
      elseif body == "" then
        requests[#requests + 1] = wrk.format(method, path, { ["Authorization"] = "Bearer " .. key })
      else
        requests[#requests + 1] = wrk.format(method, path, headers, body)
      end
    end
    line_number = line_number + 1
  end
end

function request()
  position = position + 1
  if position > #requests then
    position = 1
  end
  return requests[position]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.stdout:write(string.format(
    '\n{"requests":%d,"refused":%d,"broken":%d,"microseconds":%d,"p50":%d,"p99":%d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
