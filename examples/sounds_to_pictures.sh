#!/bin/sh
# Make four pictures of every sound in a folder, and a list of what was made, one JSON document a line.
#   usage: sounds_to_pictures.sh SOUNDS OUT [RUN]
set -eu
sounds=${1:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
out=${2:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
if [ $# -ge 3 ]; then set -- --checkpoint "$3"; else set --; fi

for sound in "$sounds"/*.wav "$sounds"/*.flac; do
    [ -e "$sound" ] || continue
    set -- "$@" --from "$sound"
done
mkdir -p "$out"
cmcgan generate "$@" --out "$out" --samples 4 --json > "$out/made.jsonl"
