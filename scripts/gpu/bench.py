#!/usr/bin/env python3
"""Generated kernels beside PyTorch's, in turns: A B A B.

A are the peers, timed in this process: flash and cuDNN attention, FlexAttention with as many blocks, cuBLAS. B is `sparsym
bench`, a child process right after them. A ratio compares a turn of B with the turn of A just before it, and the median
over all turns counts. Both time single launches by events, over sets of inputs that take turns, so that nothing stays in
the L2 cache. Without PyTorch the peers are left out, and the run says so. Only Python's own library is needed.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

try:
    import torch
except ImportError as missing:
    torch, absent = None, str(missing)

# Bytes of inputs between two uses of the same ones: four times the L2 cache of an H100 or H200.
ROTATED_BYTES = 200 << 20
COMPILED = {}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsym", default=pathlib.Path(__file__).parent / "sparsym", help="the sparsym binary")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for bench.json")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4608, 16896, 33792])
    parser.add_argument("--blocks", type=int, nargs="+", default=[128, 64])
    parser.add_argument("--shares", default="0,0.5,0.75,0.9", help="of skipped pairs, and of cached tiles")
    parser.add_argument("--causal", type=int, nargs="*", default=[16896], help="lengths of the causal contest")
    parser.add_argument("--projections", type=int, nargs="*", default=[4608, 16896], help="lengths of gemm_q and gemm_o")
    parser.add_argument("--symbols", nargs="*", default=["flash_omni", "sparge", "top_k", "xattention"])
    parser.add_argument("--text", type=int, default=512, help="text tokens of flash_omni")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.4, help="of launches of a contestant in a turn")
    parser.add_argument("--peers", nargs="*", default=["flash", "cudnn", "flex"])
    parser.add_argument("--profile", choices=["flash", "cudnn", "flex"], help="launch this peer once, for a profiler, and end")
    return parser.parse_args()


def ours(options, room, *more):
    """The report of `sparsym bench`."""
    command = [str(options.sparsym), "bench", room, "--device", options.device, "--heads", str(options.heads)]
    command += ["--head-dim", str(options.head_dim), "--seconds", str(options.seconds), "--json", *map(str, more)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def timed(options, calls):
    """The median of milliseconds of single launches, which take turns among the sets of inputs."""
    on_gpu = options.device == "cuda"

    def launches(count):
        if not on_gpu:
            times = []
            for at in range(count):
                start = time.perf_counter()
                calls[at % len(calls)]()
                times.append((time.perf_counter() - start) * 1e3)
            return times
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(count)]
        for at, (start, end) in enumerate(events):
            start.record()
            calls[at % len(calls)]()
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in events]

    estimate = min(launches(len(calls) + 1))
    return statistics.median(launches(max(3, min(500, int(options.seconds * 1e3 / max(estimate, 1e-3))))))


def sets(options, *shapes):
    """Several sets of random tensors of these shapes."""
    count = 2
    if options.device == "cuda":
        count = min(64, 1 + max(1, math.ceil(ROTATED_BYTES / sum(2 * math.prod(shape) for shape in shapes))))

    def draw(shape):
        return torch.randn(shape, device=options.device).to(torch.bfloat16)

    return [[draw(shape) for shape in shapes] for _ in range(count)]


def dense_peer(options, name, inputs, causal):
    """PyTorch's dense attention; on a CPU whatever it has."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
    if options.device == "cpu":
        backends = dict.fromkeys(backends, SDPBackend.MATH)

    def call(q, k, v):
        with sdpa_kernel(backends[name]):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    views = [[tensor.transpose(1, 2) for tensor in tensors] for tensors in inputs]
    return [lambda tensors=tensors: call(*tensors) for tensors in views]


def flex_peer(options, n, block, share, inputs, causal):
    """FlexAttention, compiled, with blocks skipped by the same chance."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    tiles = -(-n // block)
    index = torch.arange(tiles, device=options.device)
    if causal:
        seen = (index[:, None] >= index[None, :]).expand(options.heads, tiles, tiles)
        full = (index[:, None] > index[None, :]).expand(options.heads, tiles, tiles)
    else:
        seen = full = torch.rand(options.heads, tiles, tiles, device=options.device) >= share

    def rows_of(mask):
        order = torch.argsort(mask.to(torch.int8), dim=-1, descending=True, stable=True)
        return mask.sum(-1, dtype=torch.int32)[None], order.to(torch.int32)[None]

    def in_order(b, h, q, kv):
        return q >= kv

    mask = BlockMask.from_kv_blocks(
        *rows_of(seen & ~full), *rows_of(full), BLOCK_SIZE=(block, block), mask_mod=in_order if causal else None,
        seq_lengths=(n, n),
    )
    # With blocks of 64 tokens the default tile of 128 rows is refused.
    tile = {"BLOCK_M": 64, "BLOCK_N": 64} if block < 128 else None
    if options.device not in COMPILED:
        COMPILED["cuda"], COMPILED["cpu"] = torch.compile(flex_attention, dynamic=False), flex_attention
    run = COMPILED[options.device]
    views = [[tensor.transpose(1, 2).contiguous() for tensor in tensors] for tensors in inputs]
    return [lambda t=tensors: run(*t, block_mask=mask, kernel_options=tile) for tensors in views]


def attention_peers(options, n, block, share, causal):
    """Functions that launch the peers; a dense peer stands beside every sparse row, at its own, dense, work."""
    if torch is None:
        return {}
    inputs = sets(options, *[(1, n, options.heads, options.head_dim)] * 3)
    found = {}
    for name in options.peers:
        if name == "flex":
            found[name] = flex_peer(options, n, block, share, inputs, causal)
        elif share == 0:
            found[name] = dense_peer(options, name, inputs, causal)
    return found


def linear_peer(options, rows, columns, depth):
    if torch is None:
        return {}
    inputs = sets(options, (rows, depth), (columns, depth))
    return {"cublas": [lambda t=tensors: torch.nn.functional.linear(*t) for tensors in inputs]}


def contest(options, title, peers, room, *more):
    """A B A B: medians of each turn, and ratios of neighbours. Rows of ours beside peers by the row that they stand for."""
    turns, report, failed = [], None, {}
    for _ in range(options.turns):
        beside = {}
        for (row, name), calls in peers.items():
            if name not in failed:
                try:
                    beside[row, name] = timed(options, calls)
                except RuntimeError as problem:
                    failed[name] = (str(problem).strip().splitlines() or ["it failed"])[0][:200]
        report = ours(options, room, *more)
        turns.append((beside, [row["ms"]["median"] for row in report["rows"]]))
    rows = []
    for index, row in enumerate(report["rows"]):
        found = {"row": row, "ms": [ms[index] for _, ms in turns], "peers": {}}
        for place, name in peers:
            if name in failed or place not in (index, None):
                continue
            theirs = [beside[place, name] for beside, _ in turns]
            ratio = statistics.median(ms / other for ms, other in zip(found["ms"], theirs))
            found["peers"][name] = {"ms": theirs, "ours_over_theirs": ratio}
        rows.append(found)
    print(f"\n{title}")
    for found in rows:
        row, words = found["row"], []
        for share in ("sparsity", "cached"):
            words += [f"{share} {row[share]:.2f}"] if row[share] is not None else []
        words += [f"density {row['density']:.4f}", f"{statistics.median(found['ms']):9.4f} ms"]
        words += [f"{row['tflops']:6.1f} TFLOP/s of work done"] if row["tflops"] is not None else []
        words += [f"time(s)/time(0) {row['of_dense']:.4f}"] if row["of_dense"] is not None else []
        for name, peer in found["peers"].items():
            words.append(f"{peer['ours_over_theirs']:.3f} of {name}'s {statistics.median(peer['ms']):.4f} ms")
        print("  " + ", ".join(words), flush=True)
    for name, why in failed.items():
        print(f"  {name} not run: {why}")
    return {"title": title, "report": report, "rows": rows, "absent": failed}


def main():
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    shares = [float(share) for share in options.shares.split(",")]
    if torch is not None and options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU; --device cpu is the dry run")
    if options.profile:
        if torch is None:
            sys.exit(f"{options.profile} is PyTorch's, and it is not here: {absent}")
        options.peers = [options.profile]
        attention_peers(options, options.tokens[0], options.blocks[0], 0.0, False)[options.profile][0]()
        return
    peers_of = f"torch {torch.__version__}" if torch is not None else f"peers not run: {absent}"
    print(peers_of)
    contests = []

    def hold(*arguments):
        contests.append(contest(options, *arguments))
        (options.out / "bench.json").write_text(json.dumps({"peers": peers_of, "contests": contests}, indent=1))

    for n in options.tokens:
        for block in options.blocks:
            peers = {}
            for index, share in enumerate(shares):
                for name, calls in attention_peers(options, n, block, share, False).items():
                    # Dense attention knows no blocks: it stands beside every row.
                    peers[index if name == "flex" else None, name] = calls
            blocks = ["--tokens", n, "--block-q", block, "--block-kv", block]
            hold(f"attention, N {n}, blocks of {block}", peers, "attention", *blocks, "--sparsity", options.shares)
    for n in options.causal:
        peers = {(None, name): calls for name, calls in attention_peers(options, n, 128, 0, True).items()}
        hold(f"attention, causal, N {n}", peers, "attention", "--tokens", n, "--strategy", "causal")
    for n in options.tokens:
        for name in options.symbols:
            more = ["--tokens", n, "--strategy", name, "--set", "step=40", "--set", "steps=50"]
            more += ["--text", min(options.text, n // 2), "--text-at", "front"] if name == "flash_omni" else []
            hold(f"symbols of {name}, N {n}", {}, "symbols", *more)
    inner = options.heads * options.head_dim
    for n in options.projections:
        for room in ("gemm_q", "gemm_o"):
            peers = {(None, name): calls for name, calls in linear_peer(options, n, inner, inner).items()}
            hold(f"{room}, N {n}", peers, room, "--tokens", n, "--cached", options.shares)


if __name__ == "__main__":
    main()
