#!/usr/bin/env bash
# Everything that a GPU must prove, in one call: corpus, compute-sanitizer, speed beside PyTorch, profiler.
#
#   run_gpu.sh [--device cuda|cpu] [--out DIR] [--steps "corpus drawn sanitizer bench layer profile"] [-- ARGUMENTS OF bench.py]
#
# Runs beside the programs `sparsym`, `corpus`, `fuzz_kernels`, `sparsym-mm-dit` and the library of bench.py, in the folder that
# `cargo xtask gpu --pack` makes.
# PyTorch (for the peers), compute-sanitizer and ncu are said and left out where they are missing; a step that fails or
# crashes fails the script. Results are JSON and text under DIR; the last lines on stdout are the summary. --device cpu
# proves the scripts on any machine. GPU settings (clocks, power limit) are read, never written.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda
out=$here/out
steps="corpus drawn sanitizer bench layer profile"
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --steps) steps=$2; shift 2 ;;
        --) shift; break ;;
        *) echo "run_gpu.sh: unknown argument $1; see the head of the script" >&2; exit 2 ;;
    esac
done
for step in $steps; do
    case $step in
        corpus | drawn | sanitizer | bench | layer | profile) ;;
        *) echo "run_gpu.sh: there is no step $step; see the head of the script" >&2; exit 2 ;;
    esac
done
mkdir -p "$out" || exit 3
out=$(cd "$out" && pwd)
# A cache of its own: what an earlier version compiled must not be taken for this one.
SPARSYM_CACHE=$(mktemp -d)
export SPARSYM_CACHE
# A machine without a locale has Python read text as ASCII.
export PYTHONUTF8=1
trap 'rm -rf "$SPARSYM_CACHE"' EXIT
summary=$out/summary.txt
: >"$summary"
failed=()

say() { echo "$*" | tee -a "$summary"; }
has() { command -v "$1" >/dev/null 2>&1; }

# libnvrtc may lie in PyTorch's packages only.
if [ -z "${SPARSYM_NVRTC:-}" ] && has python3; then
    found=$(python3 -c 'import glob, sysconfig
folder = sysconfig.get_path("purelib")
print(next(iter(sorted(glob.glob(folder + "/nvidia/*/lib/libnvrtc.so.1[23]"))), ""))')
    [ -n "$found" ] && export SPARSYM_NVRTC=$found
fi
say "== machine"
"$here/sparsym" doctor >"$out/doctor.txt" 2>&1 || failed+=(doctor)
[ "$device" = cuda ] && nvidia-smi >"$out/nvidia-smi.txt" 2>&1
say "$(uname -m), $(nproc) cores, $(date -u '+%Y-%m-%d %H:%M UTC'), nvrtc ${SPARSYM_NVRTC:-as found}"

# In parts, side by side: most of the time is the oracle's, on one core.
corpus() {
    local part parts pids=() status=0 cases='*'
    parts=$(nproc)
    [ "$device" = cpu ] && parts=2 && cases='dense_d*'
    for part in $(seq "$parts"); do
        "$here/corpus" --device "$device" --case "$cases" --part "$part/$parts" --json "$out/corpus.$part.json" \
            >"$SPARSYM_CACHE/$part.log" 2>&1 &
        pids+=($!)
    done
    for part in "${pids[@]}"; do
        wait "$part" || status=1
    done
    cat "$SPARSYM_CACHE"/*.log >"$out/corpus.txt"
    say "corpus: $(grep -c ' ok   ' "$out/corpus.txt") passed, $(grep -c ' FAILED: ' "$out/corpus.txt") failed," \
        "$(grep -c ' not run: ' "$out/corpus.txt") not run"
    grep -h ' FAILED: \|^error:\|panicked' "$out/corpus.txt" | tee -a "$summary"
    sed -n 's/.* not run: //p' "$out/corpus.txt" | sort | uniq -c | tee -a "$summary"
    grep -q ' ok   ' "$out/corpus.txt" || status=1
    return $status
}

# Ten thousand calls of attention against f64 on the GPU, and three thousand projections against the oracle of the host; without a
# GPU a few on the emulator, to prove the program.
drawn() {
    local status=0 room
    for room in attention projections; do
        local arguments=(--device cuda)
        [ "$room" = projections ] && arguments+=(--count 3000)
        [ "$device" = cpu ] && arguments=(--device 'emulator sm_90a' --count 3 --tokens 60 --pairs 4000)
        "$here/fuzz_kernels" --of "$room" "${arguments[@]}" >"$out/drawn_$room.txt" 2>&1 || status=1
        tail -1 "$out/drawn_$room.txt" | tee -a "$summary"
    done
    return $status
}

# Whether all races of a log are of the note, in kernels with roles, that says which kv tile a stage holds.
only_of_roles() {
    grep -q 'Race reported' "$1" && ! grep 'Race reported' "$1" | grep -qv 'at store_shared(.* in attention_specialised_'
}

# One tool a process, case after case; a case that the tool has nothing against ends with status 0.
sanitize() {
    local tool=$1 case log
    # The first line takes each path of the kernels with roles: several tiles for a CTA, laps of every ring, empty rows, the
    # end of a sequence, scores that outgrow their maximum, forecasts, halves of tiles, stores before a stream begins.
    for case in many_tiles_d128 many_tiles_outgrown dense_d96 gemm_q_stream gemm_q_blocks_of_64 gemm_q_d256 gemm_o_d96 \
        dense_d128 dense_ragged_tail window_narrow sliding_tile document cache_and_skip forecast_order_2 \
        packed_causal nan_under_a_mask score_by_head_and_mask flash_omni_front sparge xattention_causal \
        percentile_of_a_head maps_over_heads gemm_q_d128 gemm_q_half_cached gemm_o_d128 gemm_o_both \
        differences_order_2; do
        # What these tools cannot know: of warps with roles one lane arrives for all, behind __syncwarp, and racecheck orders by
        # a thread's own arrivals alone; a warp whose scores have outgrown waits alone for its products, as PTX has it
        # (wgmma.wait_group is of a warp), and synccheck wants all four. The emulator's detector follows both.
        case "$tool $case" in
            "racecheck many_tiles_"* | "synccheck many_tiles_outgrown")
                echo "$tool $case: nothing found out, not run: the tool takes the order of roles for none"
                continue
                ;;
        esac
        log=$out/sanitizer_$tool.$case.log
        if timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/corpus" --device cuda --case "$case" >"$log" 2>&1; then
            echo "$tool $case: nothing found"
        elif [ "$tool" = racecheck ] && only_of_roles "$log"; then
            echo "$tool $case: nothing found but the order of roles, which the tool takes for none"
        else
            echo "$tool $case: FAILED with status $?: $(grep -m1 '=========.*[Ee]rror\|FAILED' "$log")"
        fi
    done
}

sanitizer() {
    local tool runs
    if [ "$device" != cuda ] || ! has compute-sanitizer; then
        say "compute-sanitizer: not run, it is not here or there is no GPU"
        return 0
    fi
    for tool in memcheck racecheck synccheck initcheck; do
        sanitize "$tool" >"$out/sanitizer_$tool.txt" 2>&1 &
    done
    wait
    runs=$(cat "$out"/sanitizer_*.txt | wc -l)
    cat "$out"/sanitizer_*.txt | grep -v ': nothing found' | tee -a "$summary"
    say "compute-sanitizer: $(cat "$out"/sanitizer_*.txt | grep -c ': nothing found') of $runs runs found nothing"
    cat "$out"/sanitizer_*.log >"$out/sanitizer.log"
    rm -f "$out"/sanitizer_*.log
    ! cat "$out"/sanitizer_*.txt | grep -qv ': nothing found'
}

bench() {
    local sampler= status rounds=()
    if ! has python3; then
        say "bench: not run, python3 is not here; \`sparsym bench\` needs none"
        return 0
    fi
    if [ "$device" = cuda ]; then
        nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active \
            --format=csv -lms 200 >"$out/clocks.csv" 2>/dev/null &
        sampler=$!
    else
        rounds=(--rounds 2 --seconds 0.005)
    fi
    python3 "$here/bench.py" --out "$out" --device "$device" "${rounds[@]}" "$@" 2>"$out/bench.log" |
        tee "$out/bench.txt" | tee -a "$summary"
    status=$?
    [ -n "$sampler" ] && kill "$sampler"
    grep -v Warning "$out/bench.log" | tail -4 | tee -a "$summary"
    return $status
}

# A whole block through its steps.
layer() {
    local shape=flux_1k
    [ "$device" = cpu ] && shape=small
    "$here/sparsym-mm-dit" --device "$device" --shape "$shape" --set tau_q=0.9 --set tau_kv=0.5 >"$out/layer.txt" 2>&1
    local status=$?
    grep -h 'measured\|dense on' "$out/layer.txt" | tee -a "$summary"
    [ $status -eq 0 ] || tail -3 "$out/layer.txt" | tee -a "$summary"
    return $status
}

# Counters of one launch each, of the generated kernel and of FlashAttention.
profile() {
    local contestant command status=0
    if [ "$device" != cuda ] || ! has ncu; then
        say "ncu: not run, it is not here or there is no GPU"
        return 0
    fi
    for contestant in ${PROFILED:-sparsym flash}; do
        command=("$here/sparsym" bench attention --device cuda --tokens 8448 --rounds 1 --seconds 0)
        if [ "$contestant" != sparsym ]; then
            python3 -c 'import torch' 2>/dev/null || { say "$contestant not profiled: PyTorch is not here"; continue; }
            command=(python3 "$here/bench.py" --profile "$contestant")
        fi
        ncu --clock-control none --set full --import-source yes -k 'regex:attention|flash_fwd' -c 1 -f \
            -o "$out/ncu_$contestant" "${command[@]}" >"$out/ncu_$contestant.log" 2>&1
        if [ -e "$out/ncu_$contestant.ncu-rep" ]; then
            ncu -i "$out/ncu_$contestant.ncu-rep" --page details >"$out/ncu_$contestant.txt" 2>&1
            ncu -i "$out/ncu_$contestant.ncu-rep" --page raw --csv >"$out/ncu_${contestant}_raw.csv" 2>&1
            ncu -i "$out/ncu_$contestant.ncu-rep" --page source --print-source sass --csv \
                >"$out/ncu_${contestant}_sass.csv" 2>&1
            rm "$out/ncu_$contestant.ncu-rep"
            grep -E 'Duration|SM Frequency|Registers Per|Theoretical Occ|Achieved Occ|Executed Ipc Active|Issue Slots Busy' \
                "$out/ncu_$contestant.txt" | tee -a "$summary"
        elif grep -q ERR_NVGPUCTRPERM "$out/ncu_$contestant.log"; then
            say "$contestant not profiled: this user may not read the GPU's counters"
        else
            say "ncu gave no report for $contestant: $(grep -m1 -i 'error' "$out/ncu_$contestant.log")"
            status=1
        fi
    done
    return $status
}

for step in $steps; do
    say "== $step"
    started=$SECONDS
    if "$step" "$@"; then
        say "$step took $((SECONDS - started)) s"
    else
        say "$step FAILED after $((SECONDS - started)) s"
        failed+=("$step")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    say "there are failures: ${failed[*]}"
    exit 1
fi
