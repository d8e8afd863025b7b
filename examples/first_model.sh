#!/bin/sh
# Prepare a folder of recordings, then train and evaluate a model on it.
#   usage: first_model.sh FOLDER [PRESET]
set -eu
recordings=${1:?usage: first_model.sh FOLDER [PRESET]}
preset=${2:-small}
name=$(basename "$recordings")

# Exit code 1 means that some files were left out. The others are prepared.
cmcgan prepare "$recordings" || echo "prepared/$name/skipped.csv lists the files that were left out" >&2
cmcgan train "prepared/$name" --preset "$preset"
cmcgan evaluate "prepared/$name" --checkpoint "runs/$name-$preset" --json > "runs/$name-$preset/evaluation.json"
