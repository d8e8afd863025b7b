#!/bin/sh
# Make four pictures of every sound below a folder, and a list of what was made, one JSON document a line.
#   usage: sounds_to_pictures.sh SOUNDS OUT [RUN]
set -eu
sounds=${1:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
out=${2:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
mkdir -p "$out"

# What exists is skipped: if this is stopped, the same command goes on. Exit code 1 says that some sounds were bad.
cmcgan generate --from "$sounds" --to visual --out "$out" --samples 4 ${3:+--checkpoint "$3"} --json > "$out/made.jsonl" ||
    { grep -v '"error": null' "$out/made.jsonl" >&2; exit 1; }
