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
import struct
import subprocess
import tempfile

import numpy

HERE = pathlib.Path(__file__).parent
DTYPES = {numpy.dtype(numpy.uint16): "BF16", numpy.dtype(numpy.uint8): "U8"}


def bf16(random, *shape, scale=1.0):
    """Normal numbers, cut to bfloat16."""
    values = random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale)
    return (values.view(numpy.uint32) >> 16).astype(numpy.uint16)


def write(path, tensors, metadata):
    """A safetensors file: a length, a header of JSON, the bytes."""
    header, at = {"__metadata__": metadata}, 0
    for name, values in tensors.items():
        entry = {"dtype": DTYPES[values.dtype], "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        header[name], at = entry, at + values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.tobytes())


def run(room, device, path, runs):
    """Milliseconds that `sparsym run` reports."""
    files = ["--device", device, "--input", path, "--output", f"{path}.out"]
    command = [HERE / "sparsym", "run", room, *files, "--repeat", str(runs), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)["ms"]


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
        x, o = bf16(random, 1, tokens, width), bf16(random, 1, tokens, heads, head_dim)
        w_q, w_o = (bf16(random, *shape, scale=0.02) for shape in [(inner, width), (width, inner)])
        weight, partial = bf16(random, head_dim), bf16(random, 1, tokens, width)
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
                    write(f"{folder}/in", tensors, metadata)
                    ms = run(room, options.device, f"{folder}/in", options.runs)
                row = {"tokens": tokens, "room": name, "cached": 1 - share, "ms": ms, "torch_dense_ms": dense}
                found.append(row)
                beside = "" if dense is None else f", {100 * ms / dense:6.1f} % of PyTorch's dense {dense:.3f} ms"
                print(f"N {tokens:6} {name:11} cached {1 - share:5.3f}: {ms:7.3f} ms, {flops / ms / 1e9:6.1f} TFLOP/s"
                      f" of work done{beside}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
