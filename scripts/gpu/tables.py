"""The tables: which contestants, over which shapes, held against which bars."""

import contest
from contest import Ours, Peer, over

# Rooms at the sizes that are published, and at those of a dry run.
FULL = {"heads": 24, "head_dim": 128, "text": 512, "reach": 1024, "n": (4608, 16896, 33792), "long": (32768, 65536)}
DRY = {"heads": 2, "head_dim": 64, "text": 128, "reach": 64, "n": (256, 512, 768), "long": (512, 1024)}
SHARES = (0.5, 0.75, 0.9, 0.95)
CACHED = (0.5, 0.75, 0.9)
TABLES = {}


def percent(share):
    return f"{100 * share:.0f} %"


def table(*names):
    """Registers a function as tables of these names; it gets the part of the name behind the slash."""

    def register(function):
        for name in names:
            TABLES[name] = lambda setup, function=function, name=name: function(setup, name.partition("/")[2])
        return function

    return register


class Measure:
    """A number held against its bar: at least or at most."""

    def __init__(self, name, value, at_least=None, at_most=None):
        self.name, self.value, self.at_least, self.at_most = name, value, at_least, at_most

    def verdict(self):
        if self.value is None:
            return "not measured"
        if self.at_least is None and self.at_most is None:
            return "no bar"
        low, high = self.at_least, self.at_most
        met = (low is None or self.value >= low) and (high is None or self.value <= high)
        return "met" if met else "missed"

    def json(self):
        return {
            "name": self.name, "value": self.value, "at_least": self.at_least, "at_most": self.at_most,
            "verdict": self.verdict(),
        }


def line(setup, found, *measures):
    """A row: what it took, and its measures."""
    facts = getattr(found.contestant, "facts", {})
    for measure in measures if setup.dry else ():
        measure.at_least = measure.at_most = None  # bars are for the sizes and the machine that they name
    return {
        "row": found.contestant.name, "ms": found.median(), "rounds_ms": found.ms, "tflops": found.tflops(),
        "use": found.use(setup.multiprocessors), "ghz": found.ghz, "cycles": found.cycles,
        "density": facts.get("density"), "host_ms": found.contestant.host_ms, "measures": [measure.json() for measure in measures],
    }


def finish(setup, found, absent, ours):
    """Our rows, then the peers'."""
    peers = [line(setup, result) for name, result in found.items() if isinstance(result.contestant, Peer)]
    return {"rows": ours + peers, "absent": absent}


def times(mine, theirs, bar=None):
    """How many times faster than a peer: round by round, and by the medians of both."""
    if theirs is None:
        return [Measure("times faster", None, at_least=bar)]
    name = f"times {theirs.contestant.name}"
    return [Measure(name, over(theirs, mine), at_least=bar), Measure(f"{name} by medians", theirs.median() / mine.median())]


def first(found, *names):
    """The first of these peers that ran."""
    return next((found[name] for name in names if name in found), None)


def shape(setup, n, *more):
    return ["--tokens", n, "--heads", setup.sizes["heads"], "--head-dim", setup.sizes["head_dim"], *more]


def peers(setup, calls):
    """Contestants of those peers that can be made, and the reasons of the others."""
    made, absent = [], {}
    for name, (make, flops) in calls.items():
        if setup.torch is None:
            absent[name] = setup.without_torch
            continue
        try:
            made.append(Peer(name, make(), setup.torch, setup.device, flops))
        except Exception as problem:
            absent[name] = contest.words(problem)
    return made, absent


def by_sparsity(setup, arguments, names):
    """Lines of a dense row, tiles in the order of the grid, and of sparse rows, heaviest first: what rules over Q and K get."""
    if setup.dry:
        return [([*arguments, "--sparsity", ",".join(map(str, (0, *SHARES)))], names)]
    listed = ["--order", "heaviest-first", "--sparsity", ",".join(map(str, SHARES))]
    return [([*arguments, "--order", "grid"], names[:1]), ([*arguments, *listed], names[1:])]


def attention(setup, lines, make_peers, judge):
    """Rows of `sparsym bench attention` and their peers, judged."""

    def body(*all_rows):
        ours = [Ours(name, rows, row) for (name, row), rows in zip(lines_named, rows_of(all_rows))]
        others, absent = peers(setup, make_peers())
        found, failed = setup.turns(ours + others)
        return finish(setup, found, {**absent, **failed}, judge(found))

    lines_named = [(name, row) for _, names in lines for row, name in enumerate(names)]
    counts = [len(names) for _, names in lines]

    def rows_of(all_rows):
        return [rows for rows, count in zip(all_rows, counts) for _ in range(count)]

    return setup.visit("bench", [["attention", *arguments] for arguments, _ in lines], body)


def dense_flops(setup, n, head_dim=None):
    return 4.0 * n * n * setup.sizes["heads"] * (head_dim or setup.sizes["head_dim"])


@table("attention/short", "attention/middle", "attention/long")
def attention_by_sparsity(setup, which):
    """bf16, blocks of 128: dense beside the peers, and what skipped blocks save."""
    n = setup.sizes["n"][("short", "middle", "long").index(which)]
    names = ["dense", *(f"{percent(share)} skipped" for share in SHARES)]
    flops = dense_flops(setup, n)

    def others():
        made = setup.attention_peers(n)
        calls = {"cuDNN": (lambda: made().sdpa("cudnn"), flops), "FlashAttention-3": (lambda: made().fa3(), flops)}
        if which != "long":
            calls["flash"] = (lambda: made().sdpa("flash"), flops)
        return calls

    def judge(found):
        dense, short = found["dense"], which == "short"
        of_dense = times(dense, first(found, "cuDNN"), 1.12 if short else 1.15)
        if "FlashAttention-3" in found:
            of_dense += times(dense, found["FlashAttention-3"])
        of_dense.append(Measure("use", dense.use(setup.multiprocessors), at_least=None if short else 0.95))
        rows = [line(setup, dense, *of_dense)]
        for share, name in zip(SHARES, names[1:]):
            rows.append(line(setup, found[name], *saved(found[name], dense, share if short else None)))
        return rows

    found = attention(setup, by_sparsity(setup, shape(setup, n), names), others, judge)
    return {"title": f"attention, N {n}, blocks of 128", **found}


def saved(sparse, dense, share):
    """Time and cycles of what is left; a short sequence is held to its time."""
    left = sparse.contestant.facts["density"]
    most = {0.5: 0.53, 0.75: 0.28, 0.9: 0.14}.get(share)
    of_time = Measure("time(s)/time(0)", over(sparse, dense), at_most=most)
    bar = None if share else left * 1.02 + 0.01
    return of_time, Measure("cycles(s)/cycles(0)", over(sparse, dense, "cycles"), at_most=bar)


@table("blocks/64", "blocks/64-long", "blocks/128x64")
def attention_by_blocks(setup, which):
    """Smaller blocks, beside libraries with blocks of 64."""
    n = setup.sizes["n"][2 if which == "64-long" else 1]
    rows = 128 if which == "128x64" else 64
    names = ["dense", *(f"{percent(share)} skipped" for share in SHARES)]

    def others():
        made = setup.attention_peers(n)
        if which != "64":
            return {}
        calls = {}
        for share in (0.0, *SHARES[:3]):
            flops = dense_flops(setup, n) * (1 - share)
            calls[f"VSA at {percent(share)}"] = (lambda share=share: made().vsa(share), flops)
        calls["FlexAttention at 75 %"] = (lambda: made().flex_blocks(64, 0.75), dense_flops(setup, n) / 4)
        return calls

    def judge(found):
        out = [line(setup, found["dense"], Measure("use", found["dense"].use(setup.multiprocessors)))]
        for share, name in zip(SHARES, names[1:]):
            measures = list(saved(found[name], found["dense"], None))
            theirs = [found.get(f"VSA at {percent(share)}"), found.get(f"FlexAttention at {percent(share)}")]
            measures += [measure for peer in theirs if peer is not None for measure in times(found[name], peer)]
            out.append(line(setup, found[name], *measures))
        return out

    lines = by_sparsity(setup, shape(setup, n, "--block-q", rows, "--block-kv", 64), names)
    return {"title": f"attention, N {n}, blocks of {rows}×64", **attention(setup, lines, others, judge)}


@table("variants/d64", "variants/d96", "variants/d256", "variants/f16", "variants/causal")
def attention_variants(setup, which):
    """Other head dimensions, f16, causal: dense beside cuDNN, or FlexAttention where cuDNN refuses."""
    n = setup.sizes["n"][1]
    head_dim = int(which[1:]) if which[0] == "d" else setup.sizes["head_dim"]
    dtype, causal = "f16" if which == "f16" and setup.device == "cuda" else "bf16", which == "causal"
    flops = dense_flops(setup, n, head_dim) * (0.5 * (1 + 1 / n) if causal else 1)
    arguments = ["--tokens", n, "--heads", setup.sizes["heads"], "--head-dim", head_dim, "--dtype", dtype]
    arguments += ["--strategy", "causal"] if causal else []

    def others():
        made = setup.attention_peers(n, head_dim, dtype)
        calls = {
            "cuDNN": (lambda: made().sdpa("cudnn", causal), flops),
            "FlashAttention-3": (lambda: made().fa3(causal), flops),
        }
        if which in ("d96", "d256"):
            calls["FlexAttention"] = (lambda: made().flex_blocks(128, -1.0), flops)
        return calls

    def judge(found):
        mine = found[which]
        measures = times(mine, first(found, "cuDNN", "FlexAttention"), 1.05)
        measures += times(mine, found["FlashAttention-3"]) if "FlashAttention-3" in found else []
        return [line(setup, mine, *measures)]

    return {"title": f"attention, {which}, N {n}", **attention(setup, [(arguments, [which])], others, judge)}


@table("variants/window")
def attention_window(setup, which):
    """A mask with partial blocks: a window around each token, and text that sees all."""
    n, text, reach = setup.sizes["n"][1], setup.sizes["text"], setup.sizes["reach"]
    arguments = shape(setup, n, "--strategy", "window", "--set", f"reach={reach}", "--text", text)
    arguments += ["--text-at", "front"]

    def allowed(_, __, q, kv):
        return ((q - kv).abs() <= reach) | (q < text) | (kv < text)

    def others():
        made = setup.attention_peers(n)
        return {"FlexAttention": (lambda: made().flex_mask(allowed), None)}

    def judge(found):
        return [line(setup, found["window"], *times(found["window"], first(found, "FlexAttention"), 1.05))]

    return {
        "title": f"attention, window of {reach}, {text} text tokens, N {n}",
        **attention(setup, [(arguments, ["window"])], others, judge),
    }


@table("density/32k", "density/64k")
def attention_at_an_eighth(setup, which):
    """An eighth of the blocks of a long sequence."""
    n = setup.sizes["long"][which == "64k"]
    name = "12.5 % computed"

    def judge(found):
        return [line(setup, found[name], Measure("TFLOP/s", found[name].tflops(), at_least=650))]

    arguments = shape(setup, n, "--sparsity", "0.875", *([] if setup.dry else ["--order", "heaviest-first"]))
    return {"title": f"attention, N {n}, 12.5 %", **attention(setup, [(arguments, [name])], dict, judge)}


def projection(setup, room, lines, make_peers, judge):
    """Rows of a projection: `lines` are arguments, and the names of their rows."""

    def body(*all_rows):
        ours = [Ours(name, rows, row) for rows, (_, names) in zip(all_rows, lines) for row, name in enumerate(names)]
        others, absent = peers(setup, make_peers())
        # Peers stand beside the dense row: behind a short one the clock is higher, and they would have that for nothing.
        found, failed = setup.turns(ours[:1] + others + ours[1:])
        return finish(setup, found, {**absent, **failed}, judge(found))

    return setup.visit("bench", [[room, *arguments] for arguments, _ in lines], body)


@table("gemm_q")
def gemm_q(setup, _):
    """The projection to heads, with a bias, beside cuBLAS; and what cached tiles save."""
    n, inner = setup.sizes["n"][1], setup.sizes["heads"] * setup.sizes["head_dim"]
    flops, cached = 2.0 * n * inner * inner, [f"{percent(share)} cached" for share in CACHED]

    def others():
        return {"cuBLAS addmm": (lambda: setup.peers.addmm(setup.device, n, inner, inner), flops)}

    def judge(found):
        dense = found["dense"]
        use = Measure("use", dense.use(setup.multiprocessors))
        rows = [line(setup, dense, *times(dense, first(found, "cuBLAS addmm"), 1.0), use)]
        for name in cached:
            left = found[name].contestant.facts["density"]
            rows.append(line(setup, found[name], Measure("time(s)/time(0)", over(found[name], dense), at_most=left * 1.05 + 0.02)))
        return rows

    dense = shape(setup, n, "--parts", "bias")
    lines = [(dense, ["dense"]), ([*dense, "--cached", ",".join(map(str, CACHED))], cached)]
    return {"title": f"gemm_q, M {n}, K = N = {inner}", **projection(setup, "gemm_q", lines, others, judge)}


@table("gemm_o")
def gemm_o(setup, _):
    """The projection back, over an interval: an Update and four Dispatches against five dense steps."""
    n, inner = setup.sizes["n"][1], setup.sizes["heads"] * setup.sizes["head_dim"]
    flops, shares = 2.0 * n * inner * inner, ",".join(map(str, CACHED))
    steps = {kind: [f"{kind}, {percent(share)} cached" for share in CACHED] for kind in ("Update", "Dispatch")}

    def others():
        return {"cuBLAS linear": (lambda: setup.peers.linear(setup.device, n, inner, inner), flops)}

    def judge(found):
        dense = found["dense"]
        rows = [line(setup, dense, *times(dense, first(found, "cuBLAS linear"), 1.0))]
        for update, dispatch in zip(steps["Update"], steps["Dispatch"]):
            bound = 5 / (1 + 4 * found[dispatch].contestant.facts["density"])
            share = 5 / (over(found[update], dense) + 4 * over(found[dispatch], dense)) / bound
            rows.append(line(setup, found[update], Measure("interval, share of its bound", share, at_least=0.95)))
            rows.append(line(setup, found[dispatch], Measure("time(s)/time(0)", over(found[dispatch], dense))))
        return rows

    base = shape(setup, n)
    lines = [
        (base, ["dense"]), ([*base, "--cached", shares, "--update"], steps["Update"]),
        ([*base, "--cached", shares], steps["Dispatch"]),
    ]
    return {"title": f"gemm_o, M {n}, K = N = {inner}", **projection(setup, "gemm_o", lines, others, judge)}


@table("symbols/short", "symbols/middle", "symbols/long")
def symbols(setup, which):
    """Symbols of flash_omni, as a share of dense attention; from Q and K, of the time of reading them once."""
    n = setup.sizes["n"][("short", "middle", "long").index(which)]
    rule = shape(setup, n, "--strategy", "flash_omni", "--set", "step=40", "--set", "steps=50")
    rule += ["--text", min(setup.sizes["text"], n // 2), "--text-at", "front"]
    # The device cpu makes symbols from Q and K alone.
    means = [] if setup.dry else ["--means"]
    lines = [["attention", *shape(setup, n)], ["symbols", *rule, *means], ["symbols", *rule]]
    names = ["dense attention", "from block means", "from Q and K"]

    def body(*all_rows):
        ours = [Ours(name, rows, 0) for name, rows in zip(names, all_rows)]
        flat = (1, n, setup.sizes["heads"], setup.sizes["head_dim"])
        others, absent = peers(setup, {"a copy of K": (lambda: setup.peers.copy(setup.device, flat), None)})
        found, failed = setup.turns(ours + others)
        dense, copy = found[names[0]], found.get("a copy of K")
        most = 0.025 if which == "short" else 0.01
        rows = [line(setup, dense)]
        rows.append(line(setup, found[names[1]], Measure("of dense attention", over(found[names[1]], dense), at_most=most)))
        allowed = None if copy is None else found[names[2]].median() / (1.25 * copy.median() + 0.015)
        of_dense = Measure("of dense attention", over(found[names[2]], dense))
        rows.append(line(setup, found[names[2]], Measure("of 1.25 readings and 15 µs", allowed, at_most=1.0), of_dense))
        return finish(setup, found, {**absent, **failed}, rows)

    return {"title": f"symbols of flash_omni, N {n}", **setup.visit("bench", lines, body)}


@table("layer/flux_1k", "layer/flux_2k", "layer/hunyuan")
def layer(setup, which):
    """A double-stream layer: dense beside PyTorch, and an interval at about 46 % sparsity beside five dense steps."""
    name = "small" if setup.dry else which
    arguments = ["--device", setup.device, "--shape", name, "--at", 0.95, "--set", "tau_q=0.37", "--set", "tau_kv=0.29"]

    def body(rows):
        names = ["dense step", "its kernels", "interval", "its kernels, interval"]
        ours = [Ours(name, rows, row) for row, name in enumerate(names)]
        others, absent = peers(setup, {"PyTorch": (lambda: setup.peers.layer(setup.device, rows.facts[0]), None)})
        found, failed = setup.turns(ours + others, seconds=2 * setup.seconds)
        steps, density, cached = (rows.facts[2][fact] for fact in ("steps", "density", "density_c"))
        dense, interval = found[names[0]], found[names[2]]
        faster = steps * over(dense, interval)
        theirs = found.get("PyTorch")
        out = [line(setup, found[name], *times(found[name], theirs, bar)) for name, bar in ((names[0], 1.05), (names[1], None))]
        # K and V of all rows, and all of an Update but what S_s skips, are computed at any sparsity.
        counted = Measure("of its bound by counted work", faster * rows.facts[2]["work"])
        out.append(line(setup, interval, Measure(f"times faster than {steps} dense steps", faster, at_least=1.7), counted))
        shares = Measure("sparsity of a Dispatch", 1 - density), Measure("tiles cached", 1 - cached)
        out.append(line(setup, found[names[3]], *shares))
        rooms = [
            {**step, "kind": f"{facts['strategy']}, {step['kind']}"}
            for facts in (rows.facts[1], rows.facts[3]) for step in facts["rooms"]
        ]
        return {**finish(setup, found, {**absent, **failed}, out), "rooms": rooms}

    return {"title": f"layer of {name}", **setup.visit("layers", [arguments], body, device=False)}
