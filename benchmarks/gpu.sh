#!/bin/bash
# All that is to be measured on a GPU, for a machine that is at hand for minutes: each stage has a time limit of its own, so that
# one that hangs costs no other, and none begins that could not end within $BUDGET seconds (540) of this script.
#
#     bash benchmarks/gpu.sh STAGE ...
#
# Stages: prepare (data of the stages marked *, in the background: CIFAR from $CIFAR, an archive or folder; the Llama's from Python's
# installed packages); those of benchmarks/gpu.py (machine exact step refresh training resume memory llama); tests (those that need a
# GPU, or use one where there is one); doctor, digits and pair (sweeps through Ray; what two workers on one GPU are told); cnn* and
# mfu* (a training step beside the plain loop); table1* and llama60m* (benchmarks/paper). Everything goes to $OUT/all.log, the ends
# of it to the screen, each sweep with its report to $OUT/NAME.tgz. DEVICE=cpu tries every stage without a GPU, scaled down and with
# three times the time. A sweep that was interrupted, by its limit too, continues when its stage is called again, with more confirm
# seeds if SEEDS is larger; on another machine as well if its NAME.tgz lies in .offline, where unfinished trials begin anew.
#
# A machine without network, Ray and Optuna gets them from .offline (benchmarks/offline/pack.sh). In two calls, with what nobody has
# measured first (on an H200 with 16 cores some 450 and 240 s are expected, 200 of them for llama and 180 for table1):
#
#     BUDGET=530 bash benchmarks/gpu.sh prepare machine digits pair refresh cnn llama tests memory exact
#     BUDGET=250 SEEDS=1 bash benchmarks/gpu.sh prepare table1 resume mfu step doctor
set -uo pipefail
cd "$(dirname "$0")/.." || exit
[ ! -e .offline/packages.tar.zst ] || . benchmarks/offline/unpack.sh
WORK=${WORK:-/tmp/ire-gpu}
OUT=${OUT:-$WORK/out} STORAGE=${STORAGE:-$WORK/experiments} DEVICE=${DEVICE:-cuda} BUDGET=${BUDGET:-540}
CIFAR=${CIFAR:-$(ls -d .offline/*cifar* 2>/dev/null | head -1)}
mkdir -p "$OUT"
# CIFAR's 60,000 files are unpacked beside the data and removed again: 3 ms each on a disk that is mounted with "discard".
[ "$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4194304 ] 2>/dev/null && memory=/dev/shm/ire-gpu || memory=$WORK
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} IRE_DATA=${IRE_DATA:-$memory/data}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
tiny='' at='' whole=1 half=0.5 quarter=0.25 few=4 many=8 longer=1
[ "$DEVICE" != cpu ] || { tiny=--tiny at=@tiny whole=cpu half=cpu quarter=cpu few=1 many=1 longer=3; }

limit() {  # limit SECONDS NAME COMMAND ...
    local left=$((BUDGET - SECONDS)) seconds=$(($1 * longer)) name=$2 began=$SECONDS; shift 2
    if [ "$left" -lt 20 ]; then echo "#### $name: no time left" | tee -a "$OUT/all.log"; return; fi
    [ "$seconds" -lt "$left" ] || seconds=$((left - 10))
    echo "#### $name" | tee -a "$OUT/all.log"
    timeout -k 20 "$seconds" "$@" 2>&1 | tee -a "$OUT/all.log" | tail -n "${LINES_SHOWN:-30}" | cut -c1-330
    echo "#### $name ended (${PIPESTATUS[0]}) after $((SECONDS - began)) s" | tee -a "$OUT/all.log"
}
sweep() {  # sweep SECONDS NAME CONFIRM_SEEDS ARGUMENTS OF IRE SWEEP ...; goes on with one that was interrupted
    local seconds=$1 name=$2 folder=$STORAGE/$2 command; shift 2
    command=(sweep "${@:2}" --storage "$STORAGE" --name "$name" --no-curve)
    [ -e "$folder" ] || [ ! -e ".offline/$name.tgz" ] || { mkdir -p "$STORAGE"; tar -C "$STORAGE" -xzf ".offline/$name.tgz"; }
    [ ! -e "$folder/sweep.toml" ] || command=(resume "$folder")
    limit "$seconds" "$name" python3 -m ire "${command[@]}" --confirm-seeds "$1"
    tar -C "$STORAGE" -czf "$OUT/$name.tgz" --exclude='*.pt' "$name" 2>/dev/null
}
prepare() {  # prepare TASK ARGUMENTS OF IRE DATA PREPARE ...
    local began=$SECONDS said
    said=$(timeout "$BUDGET" python3 -m ire data prepare "$@" 2>&1 | tail -3)
    echo "#### prepare $1 ended ($?) after $((SECONDS - began)) s: $said" | tee -a "$OUT/all.log"
}
steps() { local seconds=$1 name=$2; shift 2; limit "$seconds" "$name" python3 benchmarks/training_step.py --device "$DEVICE" --precision bf16 "$@"; }

for stage in "$@"; do case $stage in
    prepare)  [ -z "$CIFAR" ] || prepare cifar10-resnet56$at --from "$CIFAR" &
              case " $* " in *" llama60m "*) prepare wikitext103-llama60m$at --tokenizer bpe:32000 --glob '**/*.py' \
                  --from "${TEXTS:-$(python3 -c 'import torch; print(*torch.__path__)')}" & esac ;;
    machine|exact|refresh|training|resume|memory|step) limit 60 $stage python3 benchmarks/gpu.py $stage --device "$DEVICE" $tiny ;;
    llama)    limit "${LLAMA:-240}" llama python3 benchmarks/gpu.py llama --device "$DEVICE" $tiny ;;
    tests)    limit 100 tests python3 -m pytest -q -o addopts=--import-mode=importlib -n 6 --maxfail 12 --tb short tests/optim/test_triton_step.py \
                  tests/optim/test_measured_on_gpu.py tests/optim/test_mask_on_gpu.py tests/optim/test_conformance.py tests/trainables/training/test_memory_of_trials.py \
                  tests/trainables/training/test_determinism.py -k "triton or on_gpu or cuda or memory or determinism" ;;
    doctor)   limit 60 doctor python3 -m ire doctor --workers 2 --storage "$STORAGE" ;;
    cnn)      wait; steps 160 cnn --compile --task cifar10-resnet56$at --steps 20 ;;
    mfu)      wait; steps 60 mfu --task cifar10-resnet56$at --task stdlib-lm --task digits ;;
    digits)   sweep 120 digits 2 digits --methods adamw,adamw-ire --studies 1 --trials 4 --gpus-per-worker $quarter ;;
    pair)     sweep 60 pair 0 digits --methods adamw --studies 1 --trials 2 --workers 2 --gpus-per-worker $half ;;
    table1)   wait; sweep "${TABLE:-400}" table1-resnet56 "${SEEDS:-3}" cifar10-resnet56$at --space benchmarks/paper/cifar10-resnet56.toml \
                  --precision bf16 --gpus-per-worker $quarter --cpus-per-worker $few ;;
    llama60m) wait; sweep "${TABLE:-400}" llama60m "${SEEDS:-0}" wikitext103-llama60m$at --space benchmarks/paper/llama60m.toml \
                  --precision bf16 --compile --gpus-per-worker $whole --cpus-per-worker $many ;;
    *)        echo "no stage $stage; see the top of $0"; exit 2 ;;
esac; done
wait
