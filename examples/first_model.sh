#!/bin/sh
# From a folder of recordings to a trained and evaluated model.
#   usage: first_model.sh FOLDER [PRESET]
set -eu
recordings=${1:?usage: first_model.sh FOLDER [PRESET]}
preset=${2:-small}
name=$(basename "$recordings")

# Exit code 1 says that some files were left out; what could be read is prepared all the same.
cmcgan prepare "$recordings" || echo "see prepared/$name/skipped.csv for what was left out" >&2
cmcgan train "prepared/$name" --preset "$preset"
cmcgan evaluate "prepared/$name" --checkpoint "runs/$name-$preset" --json > "runs/$name-$preset/evaluation.json"
