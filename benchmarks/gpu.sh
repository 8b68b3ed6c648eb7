#!/usr/bin/env bash
# The yardstick on a GPU as one command that needs no hand; called again, it goes on where it was stopped.
#
#     benchmarks/gpu.sh DATA OUT
#
# DATA holds train_hr, train_lr (unpaired), val_hr and val_lr (aligned). OUT gets the run and the tables.
# DEVICE, PRESET, SCALE and MINUTES can be set in the environment.
set -euo pipefail

data=$1 out=$2
device=${DEVICE:-cuda} preset=${PRESET:-paper} scale=${SCALE:-2} minutes=${MINUTES:-25}
here=$(dirname "$0")

sdflow train --hr "$data/train_hr" --lr "$data/train_lr" --out "$out/$preset" --scale "$scale" \
    --preset "$preset" --minutes "$minutes" --device "$device" --precision bf16 --resume
python "$here/camera.py" --hr "$data/val_hr" --lr "$data/val_lr" --scale "$scale" --device "$device" \
    --model bicubic --model classical --model "$out/$preset" | tee "$out/camera.md"
python "$here/downscaling.py" --preset "$preset" --device "$device" | tee "$out/downscaling.md"
python "$here/training.py" --preset "$preset" --scale "$scale" --device "$device" | tee "$out/training.md"
