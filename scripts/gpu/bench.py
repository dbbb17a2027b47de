"""Speed of the attention kernels beside PyTorch's, in one process, and what a roofline predicts.

Each cell (tokens, block, sparsity) draws new random inputs, several sets of them, so that no launch finds its inputs in
the L2 cache, and one random block mask that all contestants share. Rounds go from contestant to contestant; a number is
the median over all rounds of the time between two events around one launch. TFLOP/s count computed pairs only: 4 · D
operations for each. Correctness comes first: every contestant is compared with plain attention in f32 on some rows.

Without a GPU (--device cpu) nothing is timed that means anything: the run proves the scripts.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import kernels

SEED = 20261125
PEERS = ["flash", "cudnn", "flex"]
# Bytes that must pass between two uses of the same inputs: four times the L2 cache of an H100.
ROTATED_BYTES = 200 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsym", required=True, help="the sparsym binary")
    parser.add_argument("--out", required=True, help="folder for bench.json and bench.txt")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4608, 16896, 33792])
    parser.add_argument("--blocks", type=int, nargs="+", default=[128, 64])
    parser.add_argument("--sparsities", type=fraction, nargs="+", default=[0.0, 0.5, 0.75, 0.9])
    parser.add_argument("--causal", type=int, nargs="*", default=[16896], help="lengths of the causal contest")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.12, help="of one contestant in one cell")
    parser.add_argument("--emitted", nargs="*", default=[], metavar="LABEL=FILE",
                        help="more kernels, from `sparsym emit --json`: dense ones for the blocks in their plan, masked "
                             "ones for the causal contest")
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("--profile", metavar="CONTESTANT", help="launch this contestant once, for a profiler, and end")
    parser.add_argument("--jit", action="store_true", help="also time cold and warm compilation")
    return parser.parse_args()


class Cell:
    """Inputs, block mask and contestants of one row of the table."""

    def __init__(self, options, n, block, sparsity, causal=False):
        self.options, self.n, self.block, self.sparsity, self.causal = options, n, block, sparsity, causal
        self.heads, self.dim = options.heads, options.head_dim
        generator = torch.Generator(device=options.device).manual_seed(SEED + n + block + int(100 * sparsity))
        tiles = -(-n // block)
        drawn = torch.rand(self.heads, tiles, tiles, device=options.device, generator=generator)
        self.mask = drawn >= sparsity
        self.full = self.mask
        if causal:
            index = torch.arange(tiles, device=options.device)
            self.mask = (index[:, None] >= index[None, :]).expand_as(drawn)
            self.full = (index[:, None] > index[None, :]).expand_as(drawn)
        tokens = torch.full((tiles,), block, device=options.device, dtype=torch.float64)
        tokens[-1] = n - block * (tiles - 1)
        pairs = float((self.mask.double() * tokens[:, None] * tokens[None, :]).sum())
        if causal:
            pairs = self.heads * n * (n + 1) / 2
        self.flops = 4.0 * self.dim * pairs
        self.density = pairs / (self.heads * n * n)
        shape = (1, n, self.heads, self.dim)
        count = max(2, math.ceil(ROTATED_BYTES / (4 * 2 * math.prod(shape)))) if options.device == "cuda" else 2

        def draw():
            return torch.randn(shape, device=options.device, generator=generator).to(torch.bfloat16)

        # [B, N, H, D], the layout of the generated kernels and of FlashAttention; [B, H, N, D] is a view.
        self.sets = [(draw(), draw(), draw()) for _ in range(count)]
        self.outputs = [torch.empty(shape, device=options.device, dtype=torch.bfloat16) for _ in range(count)]
        self.lse = torch.empty((1, self.heads, n), device=options.device)

    def values(self, at):
        """What the fields of the parameter struct are called, and their values."""
        q, k, v = self.sets[at]
        tiles = self.mask.shape[-1]
        if not hasattr(self, "symbols"):
            ones = torch.ones((tiles, self.heads), dtype=torch.bool, device=self.mask.device)
            self.symbols = [packed(ones), packed(self.mask.flatten(0, 1)), packed(self.full.flatten(0, 1))]
        s_c, s_s, s_f = self.symbols
        return {
            "q": q.data_ptr(), "k": k.data_ptr(), "v": v.data_ptr(), "o": self.outputs[at].data_ptr(),
            "lse": self.lse.data_ptr(), "s_c": s_c.data_ptr(), "s_s": s_s.data_ptr(), "s_f": s_f.data_ptr(),
            "n_q": self.n, "n_kv": self.n, "heads": self.heads, "kv_heads": self.heads, "heads_per_kv_head": 1,
            "q_blocks": tiles, "kv_blocks": tiles, "scale": self.dim**-0.5,
            "scale_log2": self.dim**-0.5 * math.log2(math.e),
        }

    def reference(self, at, head, tile):
        """Plain attention in f32 of one query block of one head."""
        q, k, v = (tensor[0, :, head].float() for tensor in self.sets[at])
        rows = slice(tile * self.block, min((tile + 1) * self.block, self.n))
        scores = q[rows] @ k.T * self.dim**-0.5
        seen = self.mask[head, tile].repeat_interleave(self.block)[: self.n].expand_as(scores)
        if self.causal:
            position = torch.arange(self.n, device=q.device)
            seen = position[rows, None] >= position[None, :]
        weights = torch.softmax(scores.masked_fill(~seen, -math.inf), -1).nan_to_num(0.0)
        return rows, weights @ v

    def error(self, output):
        """Largest ‖output - reference‖ / ‖reference‖ over some query blocks; infinite if an element was not written."""
        worst = 0.0
        tiles = self.mask.shape[-1]
        for head, tile in [(0, 0), (self.heads - 1, tiles - 1), (self.heads // 2, tiles // 2), (1, tiles // 3)]:
            rows, truth = self.reference(0, head, tile)
            given = output[0, rows, head].float()
            norm = float(truth.norm())
            difference = float((given - truth).norm())
            share = difference / norm if norm > 0 else difference
            worst = max(worst, share if math.isfinite(share) else math.inf)
        return worst


def packed(rows):
    """Bits of rows, least significant first, each row starting on a 64-bit word; a contiguous tensor of bytes."""
    count, bits = rows.shape
    padded = torch.zeros((count, -(-bits // 64) * 64), dtype=torch.uint8, device=rows.device)
    padded[:, :bits] = rows
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=rows.device)
    return (padded.view(count, -1, 8) * weights).sum(-1, dtype=torch.uint8).contiguous()


def ours(cell, kernel):
    """Launches of a generated kernel, one function for each set of inputs."""
    calls = []
    for at in range(len(cell.sets)):
        values = cell.values(at)
        if kernel.function is None:
            kernel.pack(values)
            calls.append(lambda: None)
        else:
            stream = torch.cuda.current_stream().cuda_stream
            launch = kernel.launcher(values, kernel.grid(cell.n, cell.heads, 1), stream)
            calls.append(lambda launch=launch, at=at: (launch(), cell.outputs[at])[1])
    return calls


def sdpa(cell, backend):
    """PyTorch's dense attention."""
    from torch.nn.attention import sdpa_kernel

    def call(q, k, v):
        with sdpa_kernel(backend):
            done = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=cell.causal)
        return done.transpose(1, 2)

    views = [tuple(tensor.transpose(1, 2) for tensor in tensors) for tensors in cell.sets]
    return [lambda tensors=tensors: call(*tensors) for tensors in views]


def flex(cell):
    """FlexAttention, compiled, with the same blocks."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    def rows_of(mask):
        counts = mask.sum(-1, dtype=torch.int32)[None]
        return counts, torch.argsort(mask.to(torch.int8), dim=-1, descending=True, stable=True).to(torch.int32)[None]

    def causal(b, h, q, kv):
        return q >= kv

    def block_bit(b, h, q, kv):
        return cell.mask[h, q // cell.block, kv // cell.block]

    rule = causal if cell.causal else None
    if cell.options.device == "cpu" and not cell.causal:
        rule = block_bit  # not compiled, it looks at the rule alone

    partial, partial_indices = rows_of(cell.mask & ~cell.full)
    full, full_indices = rows_of(cell.full & cell.mask)
    mask = BlockMask.from_kv_blocks(
        partial, partial_indices, full, full_indices, BLOCK_SIZE=(cell.block, cell.block),
        mask_mod=rule, seq_lengths=(cell.n, cell.n),
    )
    # With blocks of 64 tokens the default tile of 128 rows is refused.
    tile = {"BLOCK_M": 64, "BLOCK_N": 64} if cell.block < 128 else None
    key = cell.options.device
    if key not in COMPILED:
        COMPILED[key] = torch.compile(flex_attention, dynamic=False) if key == "cuda" else flex_attention
    run = COMPILED[key]
    inputs = [tuple(tensor.transpose(1, 2).contiguous() for tensor in tensors) for tensors in cell.sets]
    return [
        lambda tensors=tensors: run(*tensors, block_mask=mask, kernel_options=tile).transpose(1, 2)
        for tensors in inputs
    ]


COMPILED = {}


def contestants(cell, generated):
    """Names and launch functions; what cannot run says why."""
    from torch.nn.attention import SDPBackend

    found, absent = {}, {}
    for kernel in generated:
        found[kernel.label] = ours(cell, kernel)
    peers = {
        "flash": lambda: sdpa(cell, SDPBackend.FLASH_ATTENTION),
        "cudnn": lambda: sdpa(cell, SDPBackend.CUDNN_ATTENTION),
        "flex": lambda: flex(cell),
    }
    for name in cell.options.peers:
        # Dense attention does not know sparsity: its time is that of the cell without any.
        if name != "flex" and cell.sparsity > 0:
            continue
        if name != "flex" and cell.options.device == "cpu":
            absent[name] = "needs a GPU"
            continue
        try:
            found[name] = peers[name]()
        except Exception as error:
            absent[name] = first_line(error)
    return found, absent


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def run_cell(cell, generated, sanity):
    """Checks and times all contestants of a cell."""
    found, absent = contestants(cell, generated)
    rows, ready = {}, {}
    for name, calls in list(found.items()):
        try:
            for output in cell.outputs:
                output.fill_(math.nan)
            cell.lse.fill_(math.nan)
            start = time.perf_counter()
            output = calls[0]()
            synchronize(cell.options)
            first_ms = (time.perf_counter() - start) * 1e3
            error = cell.error(output) if output is not None else None
            estimate = min(timed(cell.options, calls, 3)) if output is not None else 0.0
        except Exception as problem:
            absent[name] = first_line(problem)
            continue
        rows[name] = {"error": error, "first_ms": first_ms}
        if output is None:
            absent[name] = "packed, not launched: there is no GPU"
        else:
            ready[name] = (calls, estimate)
        if error is not None and not error < 1e-2:
            sanity.append(f"{name} at {cell.n} tokens, block {cell.block}, sparsity {cell.sparsity}: error {error:.3g}")
    times = {name: [] for name in ready}
    for _ in range(cell.options.rounds):
        for name, (calls, estimate) in ready.items():
            launches = cell.options.seconds * 1e3 / cell.options.rounds / max(estimate, 1e-3)
            times[name] += timed(cell.options, calls, max(2, min(20, int(launches))))
    for name, taken in times.items():
        ms = statistics.median(taken)
        rows[name] |= {
            "ms": ms, "launches": len(taken), "spread": (max(taken) - min(taken)) / ms,
            # A dense peer computes all pairs, and its rate is over those.
            "tflops": cell.flops / ms / 1e9,
        }
    return {
        "tokens": cell.n, "block": cell.block, "sparsity": cell.sparsity, "causal": cell.causal,
        "density": cell.density, "tera_operations": cell.flops / 1e12, "contestants": rows, "absent": absent,
    }


def timed(options, calls, launches):
    """Milliseconds of single launches that rotate among the sets of inputs."""
    if options.device == "cpu":
        out = []
        for at in range(launches):
            start = time.perf_counter()
            calls[at % len(calls)]()
            out.append((time.perf_counter() - start) * 1e3)
        return out
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(launches)]
    for at, (start, end) in enumerate(events):
        start.record()
        calls[at % len(calls)]()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in events]


def synchronize(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


MMA_RATE = r"""
struct Params { float* out; int rounds; };

// Products of operands that stay in registers: nothing but the tensor cores is asked for.
extern "C" __global__ void __launch_bounds__(256) mma_rate(const __grid_constant__ Params p) {
    float d[16][4] = {};
    unsigned a[2][4], b[4][2];
    for (int i = 0; i < 8; ++i) {
        a[i / 4][i % 4] = ((threadIdx.x + 37 * i + 1) * 2654435761u & 0x807f807fu) | 0x3f003f00u;
        b[i / 2][i % 2] = ((threadIdx.x + 91 * i + 5) * 2246822519u & 0x807f807fu) | 0x3f003f00u;
    }
    for (int round = 0; round < p.rounds; ++round) {
        #pragma unroll
        for (int t = 0; t < 16; ++t) {
            const unsigned (&x)[4] = a[t % 2];
            const unsigned (&y)[2] = b[t / 2 % 4];
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                         "{%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(d[t][0]), "+f"(d[t][1]), "+f"(d[t][2]), "+f"(d[t][3])
                         : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
        }
    }
    float sum = 0.0f;
    for (int t = 0; t < 16; ++t) {
        sum += d[t][0] + d[t][1] + d[t][2] + d[t][3];
    }
    p.out[blockIdx.x * 256 + threadIdx.x] = sum;
}
"""


def ceilings(options):
    """What this GPU reaches: mma.sync with operands in registers, a large product of cuBLAS, a copy."""
    if options.device == "cpu":
        return {}
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    rounds, ctas = 4096, multiprocessors * 2
    out = torch.empty(ctas * 256, device="cuda")
    major, minor = torch.cuda.get_device_capability()
    plan = {"target": f"sm_{major}{minor}", "tile_q": 1, "block_q": 1}
    fields = [{"name": "out", "type": "float*", "offset": 0}, {"name": "rounds", "type": "int", "offset": 8}]
    kernel = kernels.Kernel("mma_rate", {
        "name": "mma_rate", "threads": 256, "shared_bytes": 0, "grid": [], "plan": plan,
        "source": MMA_RATE,
        "params": {"bytes": 16, "fields": fields},
    }).load()
    stream = torch.cuda.current_stream().cuda_stream
    launch = kernel.launcher({"out": out.data_ptr(), "rounds": rounds}, [ctas, 1, 1], stream)
    launch()
    mma_ms = statistics.median(timed(options, [launch], 9))
    operations = 2 * 16 * 8 * 16 * 16 * rounds * 8 * ctas
    a, b = (torch.randn(8192, 8192, device="cuda").to(torch.bfloat16) for _ in range(2))
    gemm_ms = statistics.median(timed(options, [lambda: a @ b], 12)[2:])
    big = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_()
    other = torch.empty_like(big)
    copy_ms = statistics.median(timed(options, [lambda: other.copy_(big)], 9)[2:])
    return {
        "mma_sync_tflops": operations / mma_ms / 1e9,
        "cublas_8192_tflops": 2 * 8192**3 / gemm_ms / 1e9,
        "copy_tb_per_s": 2 * big.numel() / copy_ms / 1e9,
    }


def jit(options, target):
    """Wall time of `sparsym compile`: with an empty cache, and again."""
    rows = []
    for strategy in ["dense", "causal", "window"]:
        command = [options.sparsym, "--json", "compile", strategy, "--room", "attention", "--target", target]
        cold, warm, compile_ms = [], [], []
        for _ in range(3):
            folder = tempfile.mkdtemp()
            environment = dict(os.environ, SPARSYM_CACHE=folder)
            for times in (cold, warm, warm):
                start = time.perf_counter()
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode != 0:
                    return [{"strategy": strategy, "failed": done.stderr.strip()[:300]}]
                times.append((time.perf_counter() - start) * 1e3)
                result = json.loads(done.stdout)
                if (result["cache"] == "miss") != (times is cold):
                    return [{"strategy": strategy, "failed": f"the cache says {result['cache']}"}]
                if times is cold:
                    compile_ms.append(result["compile_ms"])
            shutil.rmtree(folder)
        rows.append({
            "strategy": strategy, "cold_ms": statistics.median(cold), "warm_ms": statistics.median(warm),
            "nvrtc_ms": statistics.median(compile_ms), "registers": result["registers"],
            "compiler": result["compiler"],
        })
    return rows


def table(report):
    """The JSON as text."""
    lines = [f"{key}: {value}" for key, value in report["machine"].items()]
    lines += [f"{key}: {value:.1f}" for key, value in report["ceilings"].items()]
    lines.append("")
    names = []
    for cell in report["cells"]:
        names += [name for name in cell["contestants"] if name not in names]
    lines.append("  tokens block sparsity density | ms (TFLOP/s over computed pairs)")
    lines.append(" " * 33 + "| " + "".join(f"{name:>22}" for name in names))
    for cell in report["cells"]:
        kind = "causal" if cell["causal"] else f"{cell['sparsity']:.2f}"
        line = f"{cell['tokens']:8} {cell['block']:5} {kind:>8} {cell['density']:7.4f}  | "
        for name in names:
            row = cell["contestants"].get(name, {})
            line += f"{row['ms']:13.3f} ({row['tflops']:5.0f}) " if "ms" in row else f"{'–':>22}"
        lines.append(line)
    lines += ["", "sparsym: time over that of its dense cell, beside the density; rate over that of the peers' dense cell"]
    dense = {(c["tokens"], c["block"]): c for c in report["cells"] if c["sparsity"] == 0 and not c["causal"]}
    for cell in report["cells"]:
        base = cell if cell["causal"] else dense.get((cell["tokens"], cell["block"]), cell)
        here, there = cell["contestants"], base["contestants"]
        for name in (name for name in here if name not in PEERS and "ms" in here[name]):
            line = f"{cell['tokens']:8} {cell['block']:5} {'causal' if cell['causal'] else cell['sparsity']:>8} {name:>14}"
            line += f"  time {here[name]['ms'] / there[name]['ms']:.4f} of dense, density {cell['density']:.4f}; rate "
            for peer in PEERS:
                other = here.get(peer, {}) if peer == "flex" else there.get(peer, {})
                if "ms" in other:
                    line += f" {here[name]['tflops'] / other['tflops']:.2f} of {peer},"
            ceiling = report["ceilings"].get("mma_sync_tflops")
            lines.append(line + (f" {here[name]['tflops'] / ceiling:.2f} of mma.sync" if ceiling else ""))
    for cell in report["cells"]:
        for name, why in cell["absent"].items():
            lines.append(f"{cell['tokens']} tokens, block {cell['block']}, {cell['sparsity']}: {name} not run: {why}")
    lines.append("")
    for row in report["jit"]:
        lines.append("jit " + json.dumps(row))
    lines += [f"WRONG {words}" for words in report["wrong"]]
    return "\n".join(lines) + "\n"


def machine(options):
    """What ran, in words."""
    found = {"torch": torch.__version__, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
    if options.device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
        query = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit"
        done = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
                              capture_output=True, text=True)
        found["driver, SM clock, memory clock, most SM clock, power limit"] = done.stdout.strip()
    return found


def fraction(text: str) -> float:
    """A share of block pairs that are skipped, below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share of block pairs; 75 % is 0.75")
    return value


def main():
    options = arguments()
    os.makedirs(options.out, exist_ok=True)
    target = "sm_90a"
    if options.device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        target = "sm_90a" if (major, minor) == (9, 0) else f"sm_{major}{minor}"
        torch.zeros(1, device="cuda")
    report = {"machine": machine(options), "ceilings": {}, "cells": [], "jit": [], "wrong": []}

    def loaded(kernel):
        return kernel.load() if options.device == "cuda" else kernel

    generated = {
        block: [loaded(kernels.emit(options.sparsym, "sparsym", "dense", target, options.head_dim, block))]
        for block in options.blocks
    }
    masked = []
    for entry in options.emitted:
        label, file = entry.split("=", 1)
        with open(file, encoding="utf-8") as text:
            kernel = loaded(kernels.Kernel(label, json.load(text)))
        if kernel.plan["mask"]:
            masked.append(kernel)
        else:
            generated.setdefault(kernel.plan["block_q"], []).append(kernel)

    if options.profile:
        cell = Cell(options, options.tokens[0], options.blocks[0], options.sparsities[0])
        options.peers = [options.profile]
        found, absent = contestants(cell, generated[cell.block])
        if options.profile not in found:
            sys.exit(f"{options.profile} cannot run: {absent.get(options.profile, 'no such contestant')}")
        found[options.profile][0]()
        synchronize(options)
        return

    def keep():
        with open(os.path.join(options.out, "bench.json"), "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        with open(os.path.join(options.out, "bench.txt"), "w", encoding="utf-8") as file:
            file.write(table(report))

    report["ceilings"] = ceilings(options)
    for n in options.tokens:
        for block in options.blocks:
            for sparsity in options.sparsities:
                report["cells"].append(run_cell(Cell(options, n, block, sparsity), generated[block], report["wrong"]))
                keep()
    for n in options.causal:
        causal = [loaded(kernels.emit(options.sparsym, "sparsym", "causal", target, options.head_dim, 128)), *masked]
        report["cells"].append(run_cell(Cell(options, n, 128, 0.0, causal=True), causal, report["wrong"]))
        keep()
    if options.jit:
        report["jit"] = jit(options, target)
    report["machine"]["ended"] = time.strftime("%H:%M:%S UTC", time.gmtime())
    keep()
    print(table(report), end="")
    sys.exit(1 if report["wrong"] else 0)


if __name__ == "__main__":
    try:
        import torch
    except ImportError as missing:
        sys.exit(f"bench not run: {missing}")
    main()
