#!/usr/bin/env python3
"""Time of the symbols of strategies that read Q and K, beside dense attention on the same tensors.

Runs `sparsym run` beside this file on random bf16 tensors; the milliseconds are those of the kernels, by CUDA events
around the launches of a call, the smallest of several calls. Needs numpy. Prints a table and, with --json, writes it.
"""

import argparse
import json
import pathlib
import tempfile

import numpy

from files import bf16, run, write


def tokens(random, shape):
    """Normal numbers in bfloat16, correlated along the sequence so that blocks differ; one batch item."""
    n, heads, head_dim = shape
    slow = numpy.repeat(random.standard_normal((-(-n // 128), heads, head_dim), dtype=numpy.float32), 128, axis=0)[:n]
    return bf16(slow + random.standard_normal(shape, dtype=numpy.float32))[numpy.newaxis]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4608, 16896, 33792])
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--text", type=int, default=512)
    parser.add_argument("--strategies", nargs="+", default=["flash_omni", "sparge", "top_k", "xattention"])
    parser.add_argument("--block", type=int, nargs="+", default=[128])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    rows = []
    for n in options.tokens:
        random = numpy.random.default_rng(1)
        shape = (n, options.heads, options.head_dim)
        tensors = {name: tokens(random, shape) for name in "qkv"}
        for block in options.block:
            with tempfile.TemporaryDirectory() as folder:
                path, out = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
                sizes = {"block_q": str(block), "block_kv": str(block)}
                layout = {"text": str(options.text), "text_at": "front"}
                files = ["--device", options.device, "--input", path, "--output", out]
                write(path, tensors, sizes)
                dense = run(["attention", *files], options.runs)["ms"]
                for name in options.strategies:
                    write(path, tensors, sizes | (layout if name == "flash_omni" else {}))
                    moment = ["--set", "step=40", "--set", "steps=50"]
                    report = run(["symbols", "--strategy", name, *files, *moment], options.runs)
                    share = 100 * report["ms"] / dense
                    row = {"tokens": n, "block": block, "strategy": name, "ms": report["ms"], "dense_ms": dense,
                           "density_c": report["density_c"], "density_s": report["density_s"]}
                    rows.append(row)
                    print(f"N {n:6} block {block:3} {name:11} {report['ms']:8.3f} ms, {share:6.2f} % of dense "
                          f"attention's {dense:8.2f} ms; density S_c {report['density_c']:.3f} S_s {report['density_s']:.3f}",
                          flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
