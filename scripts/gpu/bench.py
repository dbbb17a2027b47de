#!/usr/bin/env python3
"""Speed beside other libraries: generated kernels and their peers in one process, in turns.

    bench.py --out DIR [--only 'attention/*' gemm_q …] [--list]      measure tables
    bench.py --render DIR/bench.jsonl …                              tables of earlier runs, as markdown
    bench.py --bless DIR/bench.jsonl …                               what they measured is expected from now on

Rounds are interleaved and their order reversed every other time; a figure is the median over the rounds, a ratio that of
the rounds' ratios. Times are events around single launches; cycles are those times by the frequency of the multiprocessors,
read from their clocks around each turn, and `use` is the share of their tensor cores' cycles. Sets of inputs take turns, so
that nothing stays in the L2 cache.
Every measure has its bar, if it has one, and its verdict; measures that are worse than in expected.json, by more than
8 % (in cycles 3 %), make the run fail. Without PyTorch the peers are left out, and the run says so.
"""

import argparse
import fnmatch
import json
import pathlib
import sys
import time

import beside
import contest
import tables

HERE = pathlib.Path(__file__).parent
# How much worse than expected a measure may be. Ratios of times move with the power that is left to each side: medians of two
# runs of one build differed by 7 %; those of cycles by 1 %.
MARGIN, MARGIN_OF_CYCLES = 0.08, 0.03


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="folder for bench.jsonl and bench.md")
    parser.add_argument("--only", nargs="*", default=["*"], help="tables, as patterns")
    parser.add_argument("--list", action="store_true", help="print the names of the tables")
    parser.add_argument("--render", type=pathlib.Path, nargs="+", help="bench.jsonl of earlier runs, to print as markdown")
    parser.add_argument("--bless", type=pathlib.Path, nargs="+", help="bench.jsonl of earlier runs, to expect from now on")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu is the dry run, with small shapes")
    parser.add_argument("--library", type=pathlib.Path, default=HERE / "libsparsym_beside.so")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.08, help="of launches of a contestant in a round")
    parser.add_argument("--expected", type=pathlib.Path, default=HERE / "expected.json")
    parser.add_argument("--profile", choices=["flash", "cudnn"], help="launch this peer once, for a profiler, and end")
    return parser.parse_args()


class Setup:
    """What all tables need."""

    def __init__(self, options):
        self.device, self.dry = options.device, options.device == "cpu"
        self.sizes = tables.DRY if self.dry else tables.FULL
        self.rounds, self.seconds = options.rounds, options.seconds
        try:
            self.library = beside.Library(options.library)
        except OSError as problem:
            sys.exit(f"the library cannot be loaded: {problem}\nhelp: `cargo xtask gpu --pack` puts it beside this script")
        self.torch = self.peers = self.clocks = self.multiprocessors = None
        self.without_torch = ""
        try:
            import torch

            import peers

            self.torch, self.peers = torch, peers
        except ImportError as missing:
            self.without_torch = f"PyTorch is not here: {missing}"
        if not self.dry:
            self.start_gpu()

    def start_gpu(self):
        import clocks

        if self.torch is None or not self.torch.cuda.is_available():
            sys.exit(f"{self.without_torch or 'PyTorch finds no GPU'}; --device cpu is the dry run")
        self.torch.manual_seed(1)
        self.clocks = clocks.Clocks(self.torch)
        self.multiprocessors = self.clocks.multiprocessors

    def visit(self, kind, lines, body, device=True):
        lines = [[*line, "--device", self.device] if device else line for line in lines]
        return self.library.visit_all(kind, lines, body)

    def turns(self, contestants, seconds=None):
        return contest.turns(contestants, self.clocks, self.rounds, seconds or self.seconds)

    def attention_peers(self, n, head_dim=None, dtype="bf16"):
        """Makes the peers of a shape once, when the first of them is asked for."""
        made = []

        def make():
            if not made:
                made.append(self.peers.Attention(self.device, n, self.sizes["heads"], head_dim or self.sizes["head_dim"], dtype))
            return made[0]

        return make

    def describe(self):
        found = {"device": self.device, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
        if self.torch is not None:
            found["torch"] = self.torch.__version__
        if self.clocks:
            found["gpu"] = self.torch.cuda.get_device_name(0)
            found["cudnn"] = self.torch.backends.cudnn.version()
        return found


def markdown(record):
    """A table of docs/benchmarks.md."""

    def number(value, digits):
        return "–" if value is None else f"{value:.{digits}f}"

    def measured(measure):
        bar = [f"≥ {measure['at_least']:.3g}"] if measure["at_least"] is not None else []
        bar += [f"≤ {measure['at_most']:.3f}"] if measure["at_most"] is not None else []
        held = f" ({', '.join([*bar, measure['verdict']])})" if bar else ""
        return f"{measure['name']} {number(measure['value'], 3)}{held}"

    lines = [f"**{record['title']}**", "", "| row | ms | TFLOP/s | use | SM GHz | measures |", "|---|---:|---:|---:|---:|---|"]
    for row in record["rows"]:
        ghz = sorted(row["ghz"])[len(row["ghz"]) // 2] if row["ghz"] else None
        cells = [row["row"], number(row["ms"], 4), number(row["tflops"], 0), number(row["use"], 3), number(ghz, 2)]
        lines.append(f"| {' | '.join([*cells, '; '.join(map(measured, row['measures']))])} |")
    for step in record.get("rooms", []):
        took = ", ".join(f"{room} {ms:.4f}" for room, ms in step["ms"].items())
        lines.append(f"\nRooms of a step, {step['kind']}, ms: {took}.")
    lines += [f"\n{name} not run: {why}" for name, why in record["absent"].items()]
    return "\n".join(lines)


def measures(record):
    """Measures of a table by name."""
    for row in record["rows"]:
        for measure in row["measures"]:
            yield f"{record['table']}: {row['row']}: {measure['name']}", measure


def worse(record, expected):
    """Measures that are worse than expected, in words."""
    for name, measure in measures(record):
        known, value = expected.get(name), measure["value"]
        if known is None or value is None:
            continue
        # What has a floor, or a name that speaks of more, should be high.
        high = measure["at_least"] is not None or measure["name"].startswith(("times", "use", "TFLOP"))
        margin = MARGIN_OF_CYCLES if measure["name"].startswith(("use", "cycles")) else MARGIN
        if value < known * (1 - margin) if high else value > known * (1 + margin):
            yield f"{name} is {value:.3f}, expected {known:.3f}"


def earlier(files):
    """Records of earlier runs; of a table that was measured twice the later one."""
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return list({record["table"]: record for record in records}.values())


def main():
    options = arguments()
    if options.list:
        print("\n".join(tables.TABLES))
        return
    if options.render:
        print("\n\n".join(map(markdown, earlier(options.render))))
        return
    if options.bless:
        known = json.loads(options.expected.read_text()) if options.expected.exists() else {}
        records = [record for record in earlier(options.bless) if record["machine"]["device"] == "cuda"]
        found = {name: round(m["value"], 4) for record in records for name, m in measures(record) if m["value"]}
        options.expected.write_text(json.dumps({**known, **found}, indent=1, ensure_ascii=False) + "\n")
        print(f"{options.expected}: {len(found)} measures of {len({**known, **found})} are new")
        return
    setup = Setup(options)
    if options.profile:
        setup.attention_peers(8448)().sdpa(options.profile)[0]()
        setup.torch.cuda.synchronize()
        return
    names = [name for name in tables.TABLES if any(fnmatch.fnmatch(name, only) for only in options.only)]
    if not options.out:
        sys.exit("--out names a folder for what is measured")
    if not names:
        sys.exit(f"no table is named {' or '.join(options.only)}; --list prints their names")
    options.out.mkdir(parents=True, exist_ok=True)
    expected = json.loads(options.expected.read_text()) if options.expected.exists() and not setup.dry else {}
    machine, records, regressions, failed = setup.describe(), [], [], []
    print(json.dumps(machine))
    for name in names:
        started = time.perf_counter()
        try:
            found = tables.TABLES[name](setup)
        except beside.Failed as problem:
            failed.append(f"{name} failed: {problem}")
            print(failed[-1], flush=True)
            continue
        record = {"table": name, **found, "machine": machine, "seconds": time.perf_counter() - started}
        records.append(record)
        regressions += worse(record, expected)
        print(f"\n{markdown(record)}\n\n{name} took {record['seconds']:.0f} s", flush=True)
        (options.out / "bench.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (options.out / "bench.md").write_text("\n\n".join(map(markdown, records)) + "\n")
        if setup.clocks:
            setup.torch.cuda.empty_cache()
    missed = [f"{name} {m['value']:.3f}" for record in records for name, m in measures(record) if m["verdict"] == "missed"]
    print("\nbars missed: " + ("; ".join(missed) if missed else "none"))
    for problem in failed + regressions:
        print(f"FAILED: {problem}")
    if failed or regressions:
        sys.exit(1)


if __name__ == "__main__":
    main()
