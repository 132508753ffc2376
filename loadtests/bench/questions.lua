-- What wrk sends: the requests of the file that FLEET_QUESTIONS names, one JSON body a line, in turn; FLEET_HEADERS holds `Name: value` lines.
-- Every answer must say that it is whole; what does not is counted and shown once.
local bodies, headers, threads = {}, {}, {}
for line in io.lines(os.getenv("FLEET_QUESTIONS")) do bodies[#bodies + 1] = line end
for line in io.lines(os.getenv("FLEET_HEADERS")) do
  local name, value = line:match("^(.-): (.*)$")
  headers[name] = value
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init()
  lacking, shown, at, requests = 0, "", 0, {}
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "/v1/quotes", headers, body) end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status, _, body)
  if status ~= 200 or not body:find('"complete":true', 1, true) then
    lacking = lacking + 1
    if shown == "" then shown = status .. " " .. body:sub(1, 200) end
  end
end

function done(summary, latency, _)
  local lacking, shown = 0, ""
  for _, thread in ipairs(threads) do
    lacking = lacking + thread:get("lacking")
    if shown == "" then shown = thread:get("shown") end
  end
  local e = summary.errors
  io.write(string.format('\nfigures %d %d %d %d %d %d %d\n', summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), lacking, e.connect + e.read + e.write, e.timeout))
  if shown ~= "" then io.write("shown " .. shown .. "\n") end
end
