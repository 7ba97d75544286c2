#!/usr/bin/env bash
# Checks and measures all there is on one GPU: tests/gpu/run.sh OUT [SECONDS=320]
# The same on a CPU, with the smallest settings:  tests/gpu/run.sh OUT --dry
#
# First the cost of a step, alone on the machine. Then the flagship trains while the tests run.
# Then its evaluation and its audit, side by side. A part that fails, or is stopped by its limit,
# does not stop the others. OUT gets six files at most: all but checkpoints is in gpu.tgz.
#
# MIREG_SPRITES        the folder with sprites.npz or the published files (.lab)
# MIREG_TRAIN_OPTIONS  more options of train.py
# MIREG_GPU_PARTS      which parts to run ("cost tests train")
# PYTHON               the interpreter (python3)
set -uo pipefail

if [[ $# -lt 1 ]]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2
fi
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
shift
budget=320 dry=
for argument in "$@"; do
    case $argument in
        --dry) dry=yes budget=85 ;;
        *[!0-9]* | "") echo "seconds must be a number, got '$argument'" >&2 && exit 2 ;;
        *) budget=$argument ;;
    esac
done
cd "$(dirname "$0")/../.." || exit 2
python=${PYTHON:-python3}
parts=${MIREG_GPU_PARTS:-cost tests train}
sprites=${MIREG_SPRITES:-.lab}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# Plugins of a machine are none of ours.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

work=$(mktemp -d) packed=$(mktemp -d)
SECONDS=0
left() { echo $((budget - SECONDS)); }
at_most() { echo $(($1 < $2 ? $1 : $2)); }

# Writes a summary and all that is small, as it is now: called often, for a machine may end early.
pack() {
    "$python" tests/gpu/summary.py "$work" > "$work/summary.txt" 2>&1
    # Parts that run meanwhile may write: tar says so, and what it wrote is good.
    tar czf "$packed/gpu.tgz" -C "$work" --exclude='*.pt' . 2> /dev/null
    mv "$packed/gpu.tgz" "$out/"
    local file
    for file in summary.txt cost.json tests.txt run/evaluation.json run/transfer.png; do
        [[ -f $work/$file ]] && cp "$work/$file" "$out/"
    done
    return 0
}
trap 'pack; rm -rf "$work" "$packed"' EXIT
trap 'exit 143' TERM INT

# part NAME LIMIT COMMAND...: its output goes to NAME.txt, its end to parts.txt.
part() {
    local name=$1 limit=$2 start=$SECONDS code=0
    shift 2
    if ((limit < 5)); then
        echo "$name skipped 0" >> "$work/parts.txt" && return
    fi
    echo "+ [$limit s] $*" > "$work/$name.txt"
    timeout -k 10 "$limit" "$@" >> "$work/$name.txt" 2>&1 || code=$?
    echo "$name $code $((SECONDS - start))" >> "$work/parts.txt"
}

if [[ -n $dry ]]; then
    device=cpu
    export MIREG_GPU_TESTS_ON=cpu
    # Compilers take long on a CPU.
    select=(-k "not compiles or classifier")
    cost=(--ways eager captured --batch 16 --width 32 --rounds 2 --steps 1)
    train=(--smoke --threads 1)
    triplets=50
    cost_limit=100
    tests_limit=500
else
    device=cuda
    select=()
    cost=(--seconds 60)
    train=(--data sprites --data-root "$sprites" --preset large --identities-per-batch 32 --views 4
        --appearances 3 --colour-noise 0.4 --width-noise 0.08)
    triplets=8000
    cost_limit=$(at_most 100 $((budget / 3)))
    tests_limit=200
    nvidia-smi > "$work/machine.txt" 2>&1
fi
# shellcheck disable=SC2206
train+=(--device $device ${MIREG_TRAIN_OPTIONS:-})
flagship=examples/pose_appearance

# Loading the evaluation's images, drawing 8,000 triplets and two audits of fresh critics.
evaluation=$((budget * 3 / 10))
tests() {
    part tests "$(at_most "$tests_limit" $(($(left) - 5)))" "$python" -m pytest -o addopts= \
        -W default -p no:cacheprovider -v -ra --tb=short --durations=15 "${select[@]}" tests/gpu
}
training() {
    # 30 seconds to load the images, and to draw at the end; a smoke run counts steps.
    local seconds=$(($(left) - evaluation - 30)) time=()
    if [[ -z $dry ]]; then
        ((seconds < 20)) && echo "train skipped 0" >> "$work/parts.txt" && return
        time=(--minutes "$((seconds / 60)).$(printf '%03d' $((seconds % 60 * 1000 / 60)))")
    fi
    part train $((seconds + 40)) "$python" $flagship/train.py "${train[@]}" "${time[@]}" \
        --out "$work/run"
}
evaluating() {
    [[ -f $work/run/metrics.json ]] || return 0
    # A copy each: the audit must not cost the triplets if its time ends.
    cp -r "$work/run" "$work/audited"
    local evaluate=("$python" "$flagship/evaluate.py" --device "$device")
    # Fresh critics need minutes of a CPU: not in a dry run.
    if [[ -z $dry ]]; then
        OMP_NUM_THREADS=6 part audit $(($(left) - 6)) "${evaluate[@]}" "$work/audited" \
            --count 500 --audit &
    fi
    part evaluate $(($(left) - 6)) "${evaluate[@]}" "$work/run" --count $triplets
    pack
    wait
}

if [[ " $parts " == *" cost "* ]]; then
    part cost "$cost_limit" "$python" tests/gpu/cost.py --device $device "${cost[@]}" \
        --out "$work/cost.json"
    pack
fi
if [[ " $parts " == *" train "* ]]; then
    training &
    trainer=$!
fi
[[ " $parts " == *" tests "* ]] && tests && pack
if [[ -n ${trainer:-} ]]; then
    wait "$trainer"
    pack
    evaluating
fi
pack
cat "$work/summary.txt"
! grep -qvE '^[a-z]+ 0 ' "$work/parts.txt"
