#!/usr/bin/env python3
"""Time of GEMM-Q and GEMM-O at several shares of cached tiles, beside PyTorch's dense product of the same size.

Runs `sparsym run gemm_q` and `run gemm_o` beside this file on random bf16 tensors; the milliseconds are those of the
kernels, by CUDA events around the launches of a call, the smallest of several calls. PyTorch's are by events too, the
smallest of as many calls, on the same GPU just before. Needs numpy; without PyTorch that column is empty. Prints a table
and, with --json, writes it.
"""

import argparse
import json
import pathlib
import tempfile

import numpy

from files import bf16, run, write


def normal(random, *shape, scale=1.0):
    """Normal numbers in bfloat16."""
    return bf16(random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale))


def peer(rows, columns, depth, runs):
    """Milliseconds of PyTorch's product of these extents; None without it."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    x = torch.randn(rows, depth, dtype=torch.bfloat16, device="cuda")
    w = torch.randn(columns, depth, dtype=torch.bfloat16, device="cuda")
    best = float("inf")
    for _ in range(runs + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        torch.nn.functional.linear(x, w)
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4608, 16896])
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--width", type=int, default=3072)
    parser.add_argument("--block", type=int, default=128)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.5, 0.75, 0.9])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    heads, head_dim, width, block = options.heads, options.head_dim, options.width, options.block
    inner, found = heads * head_dim, []
    for tokens in options.tokens:
        random = numpy.random.default_rng(1)
        blocks = -(-tokens // block)
        x, o = normal(random, 1, tokens, width), normal(random, 1, tokens, heads, head_dim)
        w_q, w_o = (normal(random, *shape, scale=0.02) for shape in [(inner, width), (width, inner)])
        weight, partial = normal(random, head_dim), normal(random, 1, tokens, width)
        dense = peer(tokens, inner, width, options.runs) if options.device == "cuda" else None
        for sparsity in options.sparsities:
            s_c = (random.random((1, heads, blocks)) >= sparsity).astype(numpy.uint8)
            share = float(s_c.mean())
            flops = 2.0 * tokens * inner * width * share
            sizes = {"block_q": str(block), "head_dim": str(head_dim)}
            calls = {
                "gemm_q": ("gemm_q", {"x": x, "w": w_q, "s_c": s_c}, sizes),
                "gemm_q norm": ("gemm_q", {"x": x, "w": w_q, "s_c": s_c, "q_norm": weight}, sizes | {"norm_eps": "1e-6"}),
                "gemm_o": ("gemm_o", {"o": o, "w": w_o, "s_c": s_c, "partial": partial}, sizes),
            }
            for name, (room, tensors, metadata) in calls.items():
                with tempfile.TemporaryDirectory() as folder:
                    path, out = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
                    write(path, tensors, metadata)
                    files = ["--device", options.device, "--input", path, "--output", out]
                    ms = run([room, *files], options.runs)["ms"]
                row = {"tokens": tokens, "room": name, "cached": 1 - share, "ms": ms, "torch_dense_ms": dense}
                found.append(row)
                beside = "" if dense is None else f", {100 * ms / dense:6.1f} % of PyTorch's dense {dense:.3f} ms"
                print(f"N {tokens:6} {name:11} cached {1 - share:5.3f}: {ms:7.3f} ms, {flops / ms / 1e9:6.1f} TFLOP/s"
                      f" of work done{beside}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
