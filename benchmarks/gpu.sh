#!/bin/bash
# All that is to be measured on a GPU, for a machine that is at hand for minutes: each stage has a time limit of its own, so that
# one that hangs costs no other.
#
#     bash benchmarks/gpu.sh STAGE ...
#
# Stages: those of benchmarks/gpu.py (machine exact step refresh training resume memory llama); tests (those that
# need a GPU, or use one where there is one); digits and pair (sweeps through Ray, one with two workers on one GPU); cnn and mfu
# (a training step beside the plain loop); table1 and llama60m (benchmarks/paper). cnn, mfu, table1 and llama60m need data in
# $IRE_DATA (`ire data prepare`). Everything goes to $OUT/all.log, the ends of it to the screen.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
OUT=${OUT:-/tmp/ire-gpu}; mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
DEVICE=${DEVICE:-cuda} STORAGE=${STORAGE:-$OUT/experiments}

limit() {  # limit SECONDS NAME COMMAND ...
    local seconds=$1 name=$2 began=$SECONDS; shift 2
    echo "#### $name" | tee -a "$OUT/all.log"
    timeout -k 5 "$seconds" "$@" 2>&1 | tee -a "$OUT/all.log" | tail -n "${LINES_SHOWN:-30}" | cut -c1-330
    echo "#### $name ended (${PIPESTATUS[0]}) after $((SECONDS - began)) s" | tee -a "$OUT/all.log"
}
sweep() {  # sweep SECONDS NAME ARGUMENTS OF IRE SWEEP ...
    local seconds=$1 name=$2; shift 2
    limit "$seconds" "$name" python3 -c 'from ire.sweeps.command import main; main()' sweep "$@" --storage "$STORAGE" --name "$name"
    tar -C "$STORAGE" -czf "$OUT/$name.tgz" --exclude='*.pt' "$name" 2>/dev/null
}
steps() { local seconds=$1 name=$2; shift 2; limit "$seconds" "$name" python3 benchmarks/training_step.py --device "$DEVICE" --precision bf16 "$@"; }

for stage in "$@"; do case $stage in
    machine|exact|refresh|training|resume|memory|step) limit 100 "$stage" python3 benchmarks/gpu.py "$stage" --device "$DEVICE" ;;
    llama)    limit ${LLAMA:-300} llama python3 benchmarks/gpu.py llama --device "$DEVICE" ;;
    tests)    limit 150 tests python3 -m pytest -q -o addopts=--import-mode=importlib -n 6 --maxfail 12 --tb short tests/optim/test_triton_step.py \
                  tests/optim/test_measured_on_gpu.py tests/optim/test_mask_on_gpu.py tests/optim/test_conformance.py tests/trainables/training/test_memory_of_trials.py \
                  tests/trainables/training/test_determinism.py -k "triton or on_gpu or cuda or memory or determinism" ;;
    cnn)      steps 150 cnn --compile --task cifar10-resnet56 --steps 20 ;;
    mfu)      steps 60 mfu --task cifar10-resnet56 --task stdlib-lm --task digits ;;
    digits)   sweep 150 digits digits --methods adamw,adamw-ire --studies 1 --trials 4 --confirm-seeds 2 --gpus-per-worker 0.25 ;;
    pair)     sweep 75 pair digits --methods adamw --studies 1 --trials 2 --confirm-seeds 0 --workers 2 --gpus-per-worker 0.5 \
                  --max-failures 0 --hang-seconds 40 --no-curve ;;
    table1)   sweep "${SECONDS_OF_A_TABLE:-400}" table1-resnet56 cifar10-resnet56 --space benchmarks/paper/cifar10-resnet56.toml \
                  --gpus-per-worker 0.25 --cpus-per-worker 3 --precision bf16 --no-curve ;;
    llama60m) sweep "${SECONDS_OF_A_TABLE:-400}" llama60m wikitext103-llama60m --space benchmarks/paper/llama60m.toml --cpus-per-worker 8 \
                  --precision bf16 --compile --confirm-seeds 0 --no-curve ;;
    *)        echo "no stage $stage; see the top of $0"; exit 2 ;;
esac; done
