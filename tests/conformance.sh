#!/usr/bin/env bash
# Runs the Autobahn test cases (RFC 6455, and RFC 7692 from chapter 12 on) against the echo endpoint of a release build.
#
#   tests/conformance.sh                 every case
#   tests/conformance.sh '1.*' '6.4.*'   the cases that match
#
# Ends with 1 unless every case is OK or informational. Reports are in target/conformance/reports.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/conformance
mkdir -p "$work"

cargo build --release --locked --quiet
server=${CARGO_TARGET_DIR:-target}/release/joblight
if [ ! -x "$work/venv/bin/kosoku" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet kosoku==0.1.0
fi

log=$work/server.log
: > "$log"
env -i JOBLIGHT_WEBSOCKET_PORT=0 JOBLIGHT_HTTP_PORT=0 JOBLIGHT_WEBSOCKET_HOST=127.0.0.1 JOBLIGHT_WEBSOCKET_ECHO_PATH=/ \
  JOBLIGHT_WEBSOCKET_ENABLE_COMPRESSION=true JOBLIGHT_WEBSOCKET_COMPRESSION_THRESHOLD=0 \
  JOBLIGHT_WEBSOCKET_MAX_MESSAGE_SIZE=0 JOBLIGHT_WEBSOCKET_MAX_OUTBOX_SIZE=0 \
  JOBLIGHT_WEBSOCKET_RATE_LIMIT_MAX_MESSAGES_PER_MINUTE=0 JOBLIGHT_WEBSOCKET_RATE_LIMIT_MAX_CONNECTIONS_PER_MINUTE=0 \
  JOBLIGHT_STORAGE_PATH= JOBLIGHT_LOG_FILE="$log" "$server" &
pid=$!
trap 'kill $pid 2>/dev/null || true' EXIT
for _ in $(seq 200); do
  port=$(sed -n '/listening: ws:/{s/.*:\([0-9]*\).*/\1/p;q}' "$log")
  [ -z "$port" ] || break
  sleep 0.05
done
[ -n "$port" ] || { echo "the server did not start:"; cat "$log"; exit 1; }

include=()
for pattern in "$@"; do include+=(-i "$pattern"); done
rm -rf "$work/reports"
status=0
timeout 1200 "$work/venv/bin/kosoku" "127.0.0.1:$port" ${include[@]+"${include[@]}"} -p 2 -o "$work/reports" || status=$?

python3 - "$work/reports/index.json" <<'PYTHON' || status=1
import collections, json, sys
agents = json.load(open(sys.argv[1])).values()
cases = {name: case for agent in agents for name, case in agent.items()}
verdicts = {name: {case["behavior"], case["behaviorClose"]} for name, case in cases.items()}
print("cases:", dict(collections.Counter(case["behavior"] for case in cases.values())))
bad = [name for name, verdict in verdicts.items() if not verdict <= {"OK", "INFORMATIONAL"}]
if bad or not cases:
    sys.exit("not conformant: " + (", ".join(bad) or "no case ran"))
PYTHON
exit $status
