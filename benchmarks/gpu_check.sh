#!/usr/bin/env bash
# Use a few minutes of a machine with a GPU: tests, the speed of a training step, and a model trained with `default`.
#
# usage: benchmarks/gpu_check.sh [--tiny] [FOLDER [PART...]]
#
# FOLDER (default: gpu-check) gets all results as they come: log.txt, evaluation.json, sheets/ and weights/.
# PART... selects parts; by default all run, in this order:
#   tests     the tests that need a GPU
#   step      the cost of a training step, also compiled, and its share of the measured speed of matrix products
#   prepare   the demonstration set of 20,000 pairs, on all cores
#   train     the preset default, for the time that is left (at most 400 s), and its classifier
#   evaluate  the evaluation on the test split
#   sheets    sheets of generated and real pictures for blind viewing (do not show the viewer sheets/key.json)
#   weights   the trained weights in half precision, in files of at most 16 MiB, and the command that joins them
# Each part has a time limit. Together they take at most $TOTAL seconds (default: 720), apart from the seconds in which a
# stopped part saves its state. A part that fails does not stop the others. log.txt ends with a table of parts, exit
# codes and seconds. Where a command may run for ten minutes only, call the script twice:
#   TOTAL=570 benchmarks/gpu_check.sh gpu-check tests step prepare train
#   benchmarks/gpu_check.sh gpu-check evaluate sheets weights
#
# --tiny rehearses all parts on the CPU, with the preset tiny and 312 pairs. Its results are useless.
#
# The dataset and the run are in $WORK (default: a folder of this user in /tmp), which needs 5 GB. Calls with the same
# $WORK use the same dataset and run.
#
# cmcgan does not need to be installed. $PYTHON (default: python3) needs torch, numpy, pillow, rich, safetensors, tqdm,
# typer and pytest; filelock and jinja2 come with torch. It also needs tomli-w. A machine without a network gets it in
# the folder $VENDOR (default: vendor, in the repository), which this command fills elsewhere:
#   python3 -m pip install --target vendor tomli-w
set -uo pipefail

ALL_PARTS=(tests step prepare train evaluate sheets weights)
TOTAL=${TOTAL:-720}
# Time limits in seconds. The limit of the training is lowered if there is less time.
declare -A LIMIT=([tests]=60 [step]=150 [prepare]=150 [train]=400 [evaluate]=190 [sheets]=25 [weights]=25)
DEVICE=cuda PRESET=default BATCH=256 COMPILE=compile PAIRS=20000 LATENTS=4 MOST_STEPS=1000000
# Seconds of the part train that are not for steps of the generator: starting, saving, and training the classifier.
AROUND_STEPS=100

tiny() {
    # A rehearsal is about typos, not about time, so slow machines get longer limits.
    TOTAL=7200
    for part in "${ALL_PARTS[@]}"; do LIMIT[$part]=900; done
    DEVICE=cpu PRESET=tiny BATCH=16 COMPILE= PAIRS=312 LATENTS=1 MOST_STEPS=20
}

cmcgan() { "$PYTHON" -m cmcgan_cli "$@"; }

# Each part runs in its own shell, under `timeout`. The function run_part exports what they use.

part_tests() { "$PYTHON" -m pytest -o addopts= -p no:cacheprovider -rs -v -m gpu tests/test_gpu.py; }

part_step() { "$PYTHON" benchmarks/train_step.py "$PRESET" "$BATCH" "$DEVICE" ${COMPILE:+"$COMPILE"}; }

part_prepare() { cmcgan prepare demo --pairs "$PAIRS" --out "$DATA" --overwrite; }

part_train() {
    local seconds=$((PART_LIMIT - AROUND_STEPS)) steps
    steps=$(plan_steps "$seconds") || return
    echo "$steps steps are planned for $seconds s"
    # Checkpoints hold the optimizers too, and are large, so few are written.
    cmcgan train "$DATA" --preset "$PRESET" --set "train.steps=$steps" --set train.sample_every=8 \
        --device "$DEVICE" --out "$RUN" --overwrite
}

# Print the number of steps that fit a number of seconds, less a tenth for validation and the measurement itself.
plan_steps() {
    "$PYTHON" - "$DATA" "$PRESET" "$DEVICE" "$1" "$MOST_STEPS" <<'PYTHON'
import sys
from pathlib import Path

from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.experiments.budget import affordable_steps
from cmcgan_core.progress import silent
from cmcgan_core.training.run import Run
from cmcgan_core.utils.device import choose_device

data, preset, device, seconds, most = sys.argv[1:]
config, dataset = load_config(preset), open_dataset(data)


def start(_: str) -> Run:
    return Run(config, dataset, Path(), choose_device(device))


print(min(int(most), affordable_steps([preset], start, 0.9 * float(seconds), silent)[preset]))
PYTHON
}

part_evaluate() {
    local options=("$DATA" --checkpoint "$RUN" --latents "$LATENTS" --device "$DEVICE")
    # The second command reuses the evaluation of the first.
    cmcgan evaluate "${options[@]}" && cmcgan evaluate "${options[@]}" --json >"$FOLDER/evaluation.json"
}

part_sheets() { "$PYTHON" benchmarks/blind_viewing.py sheets "$DATA" "$FOLDER/sheets" "$RUN"; }

part_weights() {
    local file name code=0
    mkdir -p "$WORK/half" "$FOLDER/weights" && rm -f "$WORK/half"/* "$FOLDER/weights"/* || return
    "$PYTHON" benchmarks/box.py "$RUN" --out "$WORK/half" || code=$?
    for file in "$WORK/half"/*.safetensors; do
        [ -f "$file" ] || continue
        name=$(basename "$file")
        split -b 16M -d "$file" "$FOLDER/weights/$name." || code=$?
        echo "in the folder weights, join the parts with: cat $name.?? > $name"
        echo "its SHA-256 is then: $(sha256sum <"$file")"
    done
    cp "$RUN/config.toml" "$RUN/metrics.jsonl" "$FOLDER/weights" || code=$?
    return "$code"
}

# Run one part under its time limit, and add a line to the summary.
run_part() {
    local part=$1 started=$SECONDS code=0
    echo
    echo "== $part, at most $PART_LIMIT s, from $(date -u +%H:%M:%S) UTC"
    # TERM lets a training save its state. The trap makes the shell wait for that.
    timeout --kill-after=15 "$PART_LIMIT" bash -c "trap : TERM; part_$part" 2>&1 || code=$?
    echo "== $part: exit code $code, $((SECONDS - started)) s"
    SUMMARY+=("$(printf '%-9s %9d %8d' "$part" "$code" $((SECONDS - started)))")
    [ "$code" -eq 0 ] || FAILED=1
}

# Set PART_LIMIT for the part at a position in PARTS: its own limit, and for the training what the later parts leave.
set_limit() {
    local part=${PARTS[$1]} later left=$((TOTAL - SECONDS))
    PART_LIMIT=${LIMIT[$part]}
    [ "$part" = train ] || return 0
    for later in "${PARTS[@]:$(($1 + 1))}"; do left=$((left - LIMIT[$later])); done
    [ "$left" -gt 0 ] || left=1 # timeout takes 0 as no limit
    [ "$left" -ge "$PART_LIMIT" ] || PART_LIMIT=$left
}

# Print the machine, or say what it lacks.
check_machine() {
    "$PYTHON" - "$DEVICE" <<'PYTHON'
import os
import platform
import sys

try:
    import torch

    import cmcgan_core.experiments.study
except ImportError as error:
    sys.exit(f"{error}; the head of benchmarks/gpu_check.sh lists the packages and says how to bring them")
name = "the CPU"
if sys.argv[1] == "cuda":
    if not torch.cuda.is_available():
        sys.exit("torch finds no GPU; rehearse on the CPU with: benchmarks/gpu_check.sh --tiny")
    name = torch.cuda.get_device_name()
print(f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}")
PYTHON
}

main() {
    local number line
    check_machine 2>&1 || return
    echo "commit $(git rev-parse HEAD 2>/dev/null || echo unknown)"
    for number in "${!PARTS[@]}"; do
        set_limit "$number"
        export PART_LIMIT
        run_part "${PARTS[$number]}"
    done
    echo
    echo "part      exit code  seconds"
    for line in "${SUMMARY[@]}"; do echo "$line"; done
    return "$FAILED"
}

if [ "${1:-}" = --tiny ]; then
    tiny
    shift
fi
FOLDER=${1:-gpu-check}
PARTS=("${@:2}")
[ "${#PARTS[@]}" -gt 0 ] || PARTS=("${ALL_PARTS[@]}")
for part in "${PARTS[@]}"; do
    if [ -z "${LIMIT[$part]:-}" ]; then
        echo "there is no part $part; the parts are: ${ALL_PARTS[*]}" >&2
        exit 2
    fi
done

mkdir -p "$FOLDER" || exit
FOLDER=$(realpath "$FOLDER")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
PYTHON=${PYTHON:-python3}
WORK=${WORK:-/tmp/gpu-check-$(id -u)-$PRESET}
DATA=$WORK/demo RUN=$WORK/run
VENDOR=$(realpath -m "${VENDOR:-vendor}")
mkdir -p "$WORK" || exit
SUMMARY=() FAILED=0
export PYTHONPATH=$PWD:$VENDOR PYTHONUNBUFFERED=1 COLUMNS=160
export PYTHON FOLDER WORK DATA RUN DEVICE PRESET BATCH COMPILE PAIRS LATENTS MOST_STEPS AROUND_STEPS
export -f cmcgan plan_steps part_tests part_step part_prepare part_train part_evaluate part_sheets part_weights
main | tee -a "$FOLDER/log.txt"
