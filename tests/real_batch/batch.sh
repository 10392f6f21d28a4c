#!/usr/bin/env bash
# A batch as an application runs it: checks and packs every file of a list, and says so as it goes.
#
# usage: batch.sh <base URL> <task> <list of files> <folder for the results>
# Leaves answers.jsonl in the folder: what the server answered to each request.

set -euo pipefail

base=$1 task=$2 list=$3 folder=$4
mapfile -t files <"$list"
count=${#files[@]}
total=$((2 * count))
seq=0

# Posts a body of one content type to one path, and keeps the answer.
post() {
    curl --silent --show-error --fail --request POST --header "Content-Type: $1" --data-binary "$3" "$base$2" \
        >>"$folder/answers.jsonl"
    echo >>"$folder/answers.jsonl"
}

# One progress event as a producer would broadcast it; its number is the caller's `seq`.
progress() {
    printf '{"type":"task_progress","payload":{"taskId":"%s","current":%d,"total":%d,"stage":"%s","message":"%s","seq":%d}}' \
        "$task" "$1" "$total" "$2" "$3" "$seq"
}

# What one file has become.
document() {
    printf '{"type":"document_generated","id":"document-%d","payload":{"taskId":"%s","documentId":%d,"name":"%s","sha256":"%s","bytes":%d}}' \
        "$1" "$task" "$1" "$2" "$3" "$4"
}

post application/json "/api/tasks/$task/started" "{\"total\":$total,\"stage\":\"checksum\",\"seq\":0}"

# First stage: lines, four files a request.
sums=()
lines=''
for index in "${!files[@]}"; do
    read -r sum _ < <(sha256sum "${files[index]}")
    sums+=("$sum")
    seq=$((seq + 1))
    lines+=$(progress $((index + 1)) checksum "${files[index]}")$'\n'
    if [ $((index % 4)) -eq 3 ] || [ $((index + 1)) -eq "$count" ]; then
        post application/x-ndjson /api/events "$lines"
        lines=''
    fi
done

# Second stage: one request a file, with what it became and how far the batch is.
packed_bytes=0
for index in "${!files[@]}"; do
    gzip --stdout "${files[index]}" >"$folder/$index.gz"
    bytes=$(wc -c <"$folder/$index.gz")
    packed_bytes=$((packed_bytes + bytes))
    seq=$((seq + 1))
    event=$(document "$index" "${files[index]}" "${sums[index]}" "$bytes")
    post application/json /api/events "[$event,$(progress $((count + index + 1)) compress "${files[index]}")]"
    if [ "$index" -eq 7 ]; then
        # A worker that saw no answer says it again.
        post application/json /api/events "$event"
    fi
done

digest=$(printf '%s\n' "${sums[@]}" | sha256sum)
post application/json "/api/tasks/$task/completed" \
    "{\"result\":{\"files\":$count,\"packedBytes\":$packed_bytes,\"digest\":\"${digest%% *}\"},\"message\":\"done\",\"seq\":$((seq + 1))}"
