#!/usr/bin/env bash
# What people do in a shell: xargs, and a curl for each request.
#   xargs_curl.sh mux|heygen MANIFEST OUT
set -euo pipefail
provider=$1 manifest=$2
export OUT=$3/$provider
mkdir -p "$OUT"

mux() {
    jobs=$MUX_BASE_URL/robots/v0/jobs/translate-captions auth=$MUX_TOKEN_ID:$MUX_TOKEN_SECRET
    IFS=, read -r asset track language _ <<<"$1"
    job=$(curl -sS --fail -u "$auth" -H 'Content-Type: application/json' "$jobs" -d \
        "{\"parameters\":{\"asset_id\":\"$asset\",\"track_id\":\"$track\",\"to_language_code\":\"$language\"}}" |
        sed 's/.*"id":"\(rjob_[^"]*\)".*/\1/')
    link=$(curl -sS --fail -u "$auth" "$jobs/$job" | sed 's/.*"temporary_vtt_url":"\([^"]*\)".*/\1/')
    curl -sS --fail -o "$OUT/$asset.$language.vtt" "$link"
}

heygen() {
    id=${1##*,}
    link=$(curl -sS --fail -H "X-Api-Key: $HEYGEN_API_KEY" "$HEYGEN_API_BASE/v3/video-translations/$id" |
        sed 's/.*"vtt_caption_url":"\([^"]*\)".*/\1/')
    curl -sS --fail -o "$OUT/$id.vtt" "$link"
}

export -f mux heygen
tail -n +2 "$manifest" | xargs -P64 -I{} bash -c "$provider {}"
