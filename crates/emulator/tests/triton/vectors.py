"""Kernels over vectors and rows: arithmetic, reductions, movement, atomics, conversions."""

import numpy as np
import triton
import triton.language as tl

from cases import In, Out, bf16, case, normal, random, wide, x, y

# Element by element


@triton.jit
def add(x, y, out, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


case(add, dict(x=In(x), y=In(y), out=Out(x + y), n=1000), 4, dict(B=256))


@triton.jit
def activations(x, out, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, i < n, other=0.0)
    gelu = 0.5 * v * (1 + tl.erf(v * 0.7071067811865476))
    silu = v * tl.sigmoid(v)
    tl.store(
        out + i, gelu + silu + tl.exp(-v * v) + tl.sin(v) * tl.cos(v) + tl.sqrt(tl.abs(v)) + tl.rsqrt(1 + v * v), i < n
    )


def erf(v):
    import math

    return np.vectorize(math.erf)(v)


v = x.astype(np.float64)
expected = (
    0.5 * v * (1 + erf(v * 0.5**0.5))
    + v / (1 + np.exp(-v))
    + np.exp(-v * v)
    + np.sin(v) * np.cos(v)
    + np.sqrt(abs(v))
    + 1 / np.sqrt(1 + v * v)
)
case(activations, dict(x=In(x), out=Out(expected.astype(np.float32), 1e-5), n=1000), 4, dict(B=256))


@triton.jit
def mixed(x, y, out, n, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b = tl.load(x + i, i < n), tl.load(y + i, i < n)
    tl.store(out + i, a - b + a * b.to(tl.float32), i < n)


h = normal(256, dtype=np.float16)
case(mixed, dict(x=In(x[:256]), y=In(h), out=Out(x[:256] - h + x[:256] * h, 1e-6), n=256), 1, dict(B=256))


@triton.jit
def integers(x, y, out, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b = tl.load(x + i), tl.load(y + i)
    tl.store(
        out + i, a // b + a % b + (a << 3) + (b >> 1) + (a ^ b) + tl.minimum(a, b) * tl.maximum(a, b) + tl.umulhi(a, b)
    )


a, b = random.integers(0, 1 << 20, 256, dtype=np.int32), random.integers(1, 1 << 10, 256, dtype=np.int32)
high = (a.astype(np.uint64) * b.astype(np.uint64) >> 32).astype(np.int32)
case(
    integers,
    dict(
        x=In(a),
        y=In(b),
        out=Out(a // b + a % b + (a << 3) + (b >> 1) + (a ^ b) + np.minimum(a, b) * np.maximum(a, b) + high),
    ),
    1,
    dict(B=256),
)


@triton.jit
def halves(x, y, out, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b = tl.load(x + i), tl.load(y + i)
    tl.store(out + i, tl.maximum(a * b + a - b, 0.0))


b16, c16 = bf16(normal(512)), bf16(normal(512))
expected = np.maximum(wide(b16) * wide(c16) + wide(b16) - wide(c16), 0)
case(halves, dict(x=In(b16, "bf16"), y=In(c16, "bf16"), out=Out(bf16(expected), 0.02, "bf16")), 1, dict(B=512))
h2 = normal(256, dtype=np.float16)
case(halves, dict(x=In(h), y=In(h2), out=Out(np.maximum(h * h2 + h - h2, 0), 4e-3)), 1, dict(B=256))


@triton.jit
def doubles(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    v = tl.load(x + i)
    tl.store(out + i, tl.exp(v) * v / (1.0 + v * v))


d = random.standard_normal(128)
case(doubles, dict(x=In(d), out=Out(np.exp(d) * d / (1 + d * d), 1e-6)), 1, dict(B=128))


# Reductions and scans


@triton.jit
def softmax(x, out, columns, B: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, B)
    v = tl.load(x + row * columns + i, i < columns, other=-float("inf"))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(out + row * columns + i, e / tl.sum(e, 0), i < columns)


m = normal(8, 781)
e = np.exp(m - m.max(1, keepdims=True))
case(softmax, dict(x=In(m), out=Out(e / e.sum(1, keepdims=True), 1e-6), columns=781), 8, dict(B=1024))


@triton.jit
def layer_norm(x, weight, bias, out, mean, rstd, columns, eps, B: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, B)
    v = tl.load(x + row * columns + i, i < columns, other=0.0).to(tl.float32)
    mu = tl.sum(v, 0) / columns
    centred = tl.where(i < columns, v - mu, 0.0)
    r = 1 / tl.sqrt(tl.sum(centred * centred, 0) / columns + eps)
    tl.store(mean + row, mu)
    tl.store(rstd + row, r)
    w, b = tl.load(weight + i, i < columns), tl.load(bias + i, i < columns)
    tl.store(out + row * columns + i, centred * r * w + b, i < columns)


m16, w, bias = normal(6, 500, dtype=np.float16), normal(500), normal(500)
m = m16.astype(np.float32)
mu, r = m.mean(1), 1 / np.sqrt(m.var(1) + 1e-5)
case(
    layer_norm,
    dict(
        x=In(m16),
        weight=In(w),
        bias=In(bias),
        out=Out((m - mu[:, None]) * r[:, None] * w + bias, 1e-5),
        mean=Out(mu, 1e-6),
        rstd=Out(r, 1e-5),
        columns=500,
        eps=1e-5,
    ),
    6,
    dict(B=512),
)


@triton.jit
def reductions(x, sums, least, at, product, M: tl.constexpr, N: tl.constexpr):
    i, j = tl.arange(0, M), tl.arange(0, N)
    v = tl.load(x + i[:, None] * N + j[None, :])
    tl.store(sums + i, tl.sum(v, 1))
    tl.store(least + j, tl.min(v, 0))
    tl.store(at + i, tl.argmax(v, 1))
    tl.store(product, tl.sum(tl.xor_sum((v * 100).to(tl.int32), 0), 0))


m = normal(32, 64)
case(
    reductions,
    dict(
        x=In(m),
        sums=Out(m.sum(1), 1e-5),
        least=Out(m.min(0)),
        at=Out(m.argmax(1).astype(np.int32)),
        product=Out(
            np.bitwise_xor.reduce((m * np.float32(100)).astype(np.int32), 0).sum(keepdims=True, dtype=np.int32)
        ),
    ),
    1,
    dict(M=32, N=64),
)


@triton.jit
def scan(x, sums, products, M: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    v = tl.load(x + i)
    tl.store(sums + i, tl.cumsum(v, 1))
    tl.store(products + i, tl.cumprod(v, 0, reverse=True))


case(
    scan, dict(x=In(m), sums=Out(m.cumsum(1), 1e-4), products=Out(m[::-1].cumprod(0)[::-1], 1e-4)), 1, dict(M=32, N=64)
)


@triton.jit
def combine(value, gate, other, other_gate):
    return value * other_gate + other, gate * other_gate


@triton.jit
def recurrence(x, gates, out, N: tl.constexpr):
    i = tl.arange(0, N)
    v, _ = tl.associative_scan((tl.load(x + i), tl.load(gates + i)), 0, combine)
    tl.store(out + i, v)


g = random.uniform(0, 1, 512).astype(np.float32)
state, states = 0.0, []
for value, gate in zip(x[:512], g):
    state = state * gate + value
    states.append(state)
case(recurrence, dict(x=In(x[:512]), gates=In(g), out=Out(np.array(states, np.float32), 1e-5)), 1, dict(N=512))


@triton.jit
def histogram(x, out, n, B: tl.constexpr, BINS: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + tl.arange(0, BINS), tl.histogram(tl.load(x + i, i < n, other=0), BINS, mask=i < n))


bins = random.integers(0, 64, 1000, dtype=np.int32)
case(
    histogram,
    dict(x=In(bins), out=Out(np.bincount(bins, minlength=64).astype(np.int32)), n=1000),
    1,
    dict(B=1024, BINS=64),
)


@triton.jit
def sort(x, up, down, M: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    v = tl.load(x + i)
    tl.store(up + i, tl.sort(v))
    tl.store(down + i, tl.sort(v, descending=True))


m = normal(4, 256)
case(sort, dict(x=In(m), up=Out(np.sort(m)), down=Out(np.sort(m)[:, ::-1])), 1, dict(M=4, N=256))


@triton.jit
def top(x, out, N: tl.constexpr, K: tl.constexpr):
    i = tl.program_id(0)
    tl.store(out + i * K + tl.arange(0, K), tl.topk(tl.load(x + i * N + tl.arange(0, N)), K))


case(top, dict(x=In(m), out=Out(np.sort(m)[:, ::-1][:, :8].copy())), 4, dict(N=256, K=8))


@triton.jit
def loss(logits, labels, out, columns, B: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, B)
    v = tl.load(logits + row * columns + i, i < columns, other=-float("inf")).to(tl.float32)
    top = tl.max(v, 0)
    label = tl.load(labels + row)
    tl.store(
        out + row, tl.log(tl.sum(tl.exp(v - top), 0)) + top - tl.load(logits + row * columns + label).to(tl.float32)
    )


logits, labels = bf16(normal(8, 1000)), random.integers(0, 1000, 8)
l = wide(logits).astype(np.float64)
case(
    loss,
    dict(
        logits=In(logits, "bf16"),
        labels=In(labels),
        out=Out((np.log(np.exp(l).sum(1)) - l[np.arange(8), labels]).astype(np.float32), 1e-5),
        columns=1000,
    ),
    8,
    dict(B=1024),
)


# Movement


@triton.jit
def transpose(x, out, rows, columns, B: tl.constexpr):
    i, j = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B + tl.arange(0, B)
    v = tl.load(x + i[:, None] * columns + j[None, :], (i[:, None] < rows) & (j[None, :] < columns))
    tl.store(out + j[:, None] * rows + i[None, :], tl.trans(v), (j[:, None] < columns) & (i[None, :] < rows))


m16 = normal(100, 70, dtype=np.float16)
case(transpose, dict(x=In(m16), out=Out(m16.T.copy()), rows=100, columns=70), (4, 3), dict(B=32))


@triton.jit
def gather(table, index, out, width, B: tl.constexpr):
    row = tl.load(index + tl.program_id(0))
    i = tl.arange(0, B)
    tl.store(out + tl.program_id(0) * width + i, tl.load(table + row * width + i, i < width), i < width)


t, index = normal(50, 96), random.integers(0, 50, 12)
case(gather, dict(table=In(t), index=In(index), out=Out(t[index]), width=96), 12, dict(B=128))


@triton.jit
def shuffle(x, index, out, B: tl.constexpr, N: tl.constexpr):
    i, j = tl.arange(0, B), tl.arange(0, N)
    at = i[:, None] * N + j[None, :]
    v = tl.gather(tl.load(x + at), tl.load(index + at), 1)
    tl.store(out + at, tl.flip(tl.join(v, -v).permute(0, 2, 1).reshape(2 * B, N), 1).reshape(2, B, N).sum(0) + v)


s, order = normal(16, 32), random.integers(0, 32, (16, 32), dtype=np.int32)
v = np.take_along_axis(s, order, 1)
flipped = np.stack([v, -v], 1).reshape(32, 32)[:, ::-1].reshape(2, 16, 32).sum(0)
case(shuffle, dict(x=In(s), index=In(order), out=Out(flipped + v, 1e-6)), 1, dict(B=16, N=32))


@triton.jit
def cat(x, y, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + tl.arange(0, 2 * B), tl.interleave(tl.load(x + i), tl.load(y + i)))


case(cat, dict(x=In(x[:128]), y=In(y[:128]), out=Out(np.stack([x[:128], y[:128]], 1).ravel())), 1, dict(B=128))


# Atomics, random numbers, quantisation


@triton.jit
def atomics(x, sums, top, bits, count, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, i < n, other=0)
    tl.atomic_add(sums + v % 16, v.to(tl.float32), i < n)
    tl.atomic_max(top + v % 16, v, i < n)
    tl.atomic_xor(bits + i * 0, v, i < n)
    tl.atomic_cas(count, 0, 1)


k = random.integers(0, 1000, 900, dtype=np.int32)
per = [k[k % 16 == c] for c in range(16)]
case(
    atomics,
    dict(
        x=In(k),
        sums=Out(np.array([p.sum() for p in per], np.float32), 0, start=np.zeros(16, np.float32)),
        top=Out(np.array([p.max() for p in per], np.int32), start=np.zeros(16, np.int32)),
        bits=Out(np.bitwise_xor.reduce(k, keepdims=True), start=np.zeros(1, np.int32)),
        count=Out(np.ones(1, np.int32), start=np.zeros(1, np.int32)),
        n=900,
    ),
    4,
    dict(B=256),
)


@triton.jit
def half_atomics(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.atomic_add(out + i % 32, tl.load(x + i))


ones = np.ones(128, np.float16)
case(
    half_atomics, dict(x=In(ones), out=Out(np.full(32, 4, np.float16), start=np.zeros(32, np.float16))), 1, dict(B=128)
)


def philox(seed, counters):
    """Philox 4x32-10 of Salmon and others, 2011: the first of the four words of each counter."""
    c = [counters.astype(np.uint64)] + [np.zeros(len(counters), np.uint64)] * 3
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), q & low, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[0].astype(np.uint32)


@triton.jit
def dropout(x, out, words, p, seed, B: tl.constexpr):
    i = tl.arange(0, B)
    r = tl.rand(seed, i)
    tl.store(words + i, tl.randint(seed, i))
    tl.store(out + i, tl.where(r > p, tl.load(x + i) / (1 - p), 0.0))


bits = philox(123, np.arange(256))
signed = bits.view(np.int32).astype(np.int64)
uniform = np.where(signed < 0, -signed - 1, signed).astype(np.float32) * np.float32(4.6566127342e-10)
p = np.float32(0.25)
case(
    dropout,
    dict(
        x=In(x[:256]),
        out=Out(np.where(uniform > p, x[:256] / (1 - p), 0).astype(np.float32), 1e-6),
        words=Out(bits.view(np.int32)),
        p=0.25,
        seed=123,
    ),
    1,
    dict(B=256),
)


@triton.jit
def quantise(x, out, scales, N: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, N)
    v = tl.load(x + row * N + i)
    scale = tl.max(tl.abs(v), 0) / 127
    tl.store(scales + row, scale)
    tl.store(out + row * N + i, tl.floor(v / scale + 0.5).to(tl.int8))


scale = np.abs(m).max(1, keepdims=True) / np.float32(127)
case(
    quantise,
    dict(x=In(m), out=Out(np.floor(m / scale + np.float32(0.5)).astype(np.int8), 1), scales=Out(scale[:, 0], 1e-7)),
    4,
    dict(N=256),
)


@triton.jit
def fp8(x, out, back, TYPE: tl.constexpr, B: tl.constexpr):
    i = tl.arange(0, B)
    v = tl.load(x + i).to(TYPE)
    tl.store(out + i, v.to(tl.uint8, bitcast=True))
    tl.store(back + i, v.to(tl.float32))


def fp8_grid(exponent_bits, mantissa_bits, bias, top):
    """All numbers of an 8-bit format that are not negative, by their bits."""
    codes = np.arange(top + 1)
    e, f = codes >> mantissa_bits, codes & (1 << mantissa_bits) - 1
    return np.where(e == 0, f * 2.0 ** (1 - bias - mantissa_bits), (1 + f * 2.0**-mantissa_bits) * 2.0 ** (e - bias))


def narrow8(v, grid):
    """Nearest, ties to even."""
    a = np.abs(v.astype(np.float64))
    above = np.searchsorted(grid, a).clip(1, len(grid) - 1)
    low, high = grid[above - 1], grid[above]
    up = (a - low > high - a) | ((a - low == high - a) & (above % 2 == 0))
    code = np.where(up, above, above - 1)
    return (code | np.where(np.signbit(v), 128, 0)).astype(np.uint8), np.copysign(grid[code], v)


for kind, parameters, since in [(tl.float8e5, (5, 2, 15, 0x7B), 80), (tl.float8e4nv, (4, 3, 7, 0x7E), 89)]:
    codes, numbers = narrow8(x[:256], fp8_grid(*parameters))
    case(
        fp8,
        dict(x=In(x[:256]), out=Out(codes), back=Out(numbers.astype(np.float32))),
        1,
        dict(TYPE=kind, B=256),
        since=since,
    )
