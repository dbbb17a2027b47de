#!/usr/bin/env bash
# Everything that a GPU must prove, in one call: corpus, compute-sanitizer, speed beside PyTorch, profiler.
#
#   run_gpu.sh [--device cuda|cpu] [--out DIR] [--steps "corpus sanitizer bench layer profile"] [-- ARGUMENTS OF bench.py]
#
# Runs beside the programs `sparsym` and `corpus`, in the folder that `cargo xtask gpu --pack` makes. Needs python3 with
# PyTorch for the speed, compute-sanitizer and ncu for their steps; what is missing is said and left out. Results are
# JSON and text under DIR; the last lines on stdout are the summary. --device cpu proves the scripts on any machine.
# GPU settings (clocks, power limit) are read, never written.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda
out=$here/out
steps="corpus sanitizer bench layer profile"
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --steps) steps=$2; shift 2 ;;
        --) shift; break ;;
        *) echo "run_gpu.sh: unknown argument $1; see the head of the script" >&2; exit 2 ;;
    esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
# A cache of its own: what an earlier version compiled must not be taken for this one.
SPARSYM_CACHE=$(mktemp -d)
export SPARSYM_CACHE
trap 'rm -rf "$SPARSYM_CACHE"' EXIT
summary=$out/summary.txt
: >"$summary"

say() { echo "$*" | tee -a "$summary"; }
has() { command -v "$1" >/dev/null 2>&1; }
wanted() { case " $steps " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# libnvrtc may lie in PyTorch's packages only.
if [ -z "${SPARSYM_NVRTC:-}" ] && has python3; then
    found=$(python3 -c 'import glob, sysconfig
folder = sysconfig.get_path("purelib")
print(next(iter(sorted(glob.glob(folder + "/nvidia/*/lib/libnvrtc.so.1[23]"))), ""))')
    [ -n "$found" ] && export SPARSYM_NVRTC=$found
fi
say "== machine"
"$here/sparsym" doctor >"$out/doctor.txt" 2>&1
[ "$device" = cuda ] && nvidia-smi >"$out/nvidia-smi.txt" 2>&1
say "$(uname -m), $(nproc) cores, $(date -u '+%Y-%m-%d %H:%M UTC'), nvrtc ${SPARSYM_NVRTC:-as found}"

# In parts, side by side: most of the time is the oracle's, on one core.
corpus() {
    local started=$SECONDS part parts
    parts=$(nproc)
    for part in $(seq "$parts"); do
        "$here/corpus" --device "$device" --part "$part/$parts" --json "$SPARSYM_CACHE/$part.json" \
            >"$SPARSYM_CACHE/$part.log" 2>&1 &
    done
    wait
    cat "$SPARSYM_CACHE"/*.log >"$out/corpus.txt"
    python3 - "$SPARSYM_CACHE" "$out/corpus.json" <<'PY' | tee -a "$summary"
import glob, json, sys
reports = [r for file in sorted(glob.glob(sys.argv[1] + "/*.json")) for r in json.load(open(file))]
json.dump(reports, open(sys.argv[2], "w"), indent=1)
count = lambda verdict: sum(r["verdict"] == verdict for r in reports)
cases = {r["case"] for r in reports}
print(f"corpus: {len(cases)} cases, {count('passed')} passed, {count('failed')} failed, {count('not_run')} not run")
for r in reports:
    if r["verdict"] == "failed":
        print(f"FAILED {r['case']} {r['dtype']}: {r['reason']}")
reasons = {}
for r in reports:
    if r["verdict"] == "not_run":
        reasons.setdefault(r["reason"], []).append(r["case"])
for reason, names in reasons.items():
    print(f"not run, {len(names)}: {reason}")
PY
    grep -h '^error:\|panicked' "$out/corpus.txt" | tee -a "$summary"
    say "corpus took $((SECONDS - started)) s"
}

# One tool a process, case after case; a case that the tool has nothing against ends with status 0.
sanitize() {
    local tool=$1 case
    for case in dense_d128 dense_ragged_tail window_narrow sliding_tile document cache_and_skip forecast_order_2 \
        packed_causal nan_under_a_mask score_by_head_and_mask flash_omni_front sparge xattention_causal \
        percentile_of_a_head maps_over_heads gemm_q_d128 gemm_q_half_cached gemm_o_d128 gemm_o_both \
        differences_order_2; do
        if compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/corpus" --device cuda --case "$case" \
            >"$out/sanitizer_$tool.$case.log" 2>&1; then
            echo "$tool $case: nothing found"
        else
            echo "$tool $case: FAILED with status $?: $(grep -m1 '=========.*[Ee]rror\|FAILED' "$out/sanitizer_$tool.$case.log")"
        fi
    done
}

sanitizer() {
    local started=$SECONDS tool
    if [ "$device" != cuda ] || ! has compute-sanitizer; then
        say "compute-sanitizer: not run, it is not here or there is no GPU"
        return
    fi
    for tool in memcheck racecheck synccheck initcheck; do
        sanitize "$tool" >"$out/sanitizer_$tool.txt" 2>&1 &
    done
    wait
    cat "$out"/sanitizer_*.txt | grep -v ': nothing found' | tee -a "$summary"
    say "compute-sanitizer: $(cat "$out"/sanitizer_*.txt | grep -c ': nothing found') of $(cat "$out"/sanitizer_*.txt | wc -l) runs found nothing, $((SECONDS - started)) s"
    cat "$out"/sanitizer_*.log >"$out/sanitizer.log"
    rm -f "$out"/sanitizer_*.log
}

bench() {
    local started=$SECONDS sampler=
    if [ "$device" = cuda ]; then
        nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active \
            --format=csv -lms 200 >"$out/clocks.csv" 2>/dev/null &
        sampler=$!
    fi
    local size=()
    [ "$device" = cpu ] && size=(--heads 2 --tokens 512 --causal 256 --rounds 1)
    python3 "$here/bench.py" --sparsym "$here/sparsym" --out "$out" --device "$device" "${size[@]}" "$@" \
        2>"$out/bench.log" | tee -a "$summary"
    [ -n "$sampler" ] && kill "$sampler"
    grep -v Warning "$out/bench.log" | tail -4
    say "bench took $((SECONDS - started)) s"
}

# The projections alone, and a whole block through its steps.
layer() {
    local started=$SECONDS size=() shape=flux_1k
    [ "$device" = cpu ] && size=(--heads 2 --width 256 --tokens 512 --runs 1) && shape=small
    python3 "$here/projections.py" --device "$device" --json "$out/projections.json" "${size[@]}" 2>&1 | tee -a "$summary"
    "$here/sparsym-mm-dit" --device "$device" --shape "$shape" --set tau_q=0.9 --set tau_kv=0.5 >"$out/layer.txt" 2>&1
    grep -h 'measured\|dense on' "$out/layer.txt" | tee -a "$summary"
    say "layer took $((SECONDS - started)) s"
}

# Counters of one launch each, of the generated kernel and of FlashAttention.
profile() {
    local started=$SECONDS contestant
    if [ "$device" != cuda ] || ! has ncu; then
        say "ncu: not run, it is not here or there is no GPU"
        return
    fi
    for contestant in ${PROFILED:-sparsym flash}; do
        ncu --clock-control none --set full --import-source yes -k 'regex:attention|flash_fwd' -c 1 -f \
            -o "$out/ncu_$contestant" python3 "$here/bench.py" --sparsym "$here/sparsym" --out "$out" "$@" \
            --tokens 8448 --blocks 128 --sparsities 0 --profile "$contestant" >"$out/ncu_$contestant.log" 2>&1
        if [ -e "$out/ncu_$contestant.ncu-rep" ]; then
            ncu -i "$out/ncu_$contestant.ncu-rep" --page details >"$out/ncu_$contestant.txt" 2>&1
            ncu -i "$out/ncu_$contestant.ncu-rep" --page raw --csv >"$out/ncu_${contestant}_raw.csv" 2>&1
            ncu -i "$out/ncu_$contestant.ncu-rep" --page source --print-source sass --csv \
                >"$out/ncu_${contestant}_sass.csv" 2>&1
            rm "$out/ncu_$contestant.ncu-rep"
            grep -E 'Duration|SM Frequency|Registers Per|Theoretical Occ|Achieved Occ|Executed Ipc Active|Issue Slots Busy' \
                "$out/ncu_$contestant.txt" | tee -a "$summary"
        else
            say "ncu gave no report for $contestant: $(grep -m1 -i 'error\|permission' "$out/ncu_$contestant.log")"
        fi
    done
    say "profile took $((SECONDS - started)) s"
}

for step in corpus sanitizer bench layer profile; do
    if wanted "$step"; then
        say "== $step"
        "$step" "$@"
    fi
done
if grep -q 'FAILED\|WRONG\|panicked' "$summary"; then
    say "there are failures"
    exit 1
fi
