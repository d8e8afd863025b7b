#!/bin/sh
# Generate four pictures of every sound below a folder, and a list of the results with one JSON document per line.
#   usage: sounds_to_pictures.sh SOUNDS OUT [RUN]
set -eu
sounds=${1:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
out=${2:?usage: sounds_to_pictures.sh SOUNDS OUT [RUN]}
mkdir -p "$out"

# Existing results are skipped, so the same command resumes after a stop. Exit code 1 means that some sounds failed.
cmcgan generate --from "$sounds" --to visual --out "$out" --samples 4 ${3:+--checkpoint "$3"} --json > "$out/made.jsonl" ||
    { grep -v '"error": null' "$out/made.jsonl" >&2; exit 1; }
