"""Kernels with matrix products, and some of other kinds: convolution, persistent tiles, locks, prints."""

import numpy as np
import triton
import triton.language as tl

from cases import In, Out, bf16, case, normal, random, wide, x

# Matrices


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    j = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for at in range(0, K, BK):
        x = tl.load(a + i[:, None] * K + (at + k)[None, :], (i[:, None] < M) & ((at + k)[None, :] < K), other=0.0)
        y = tl.load(b + (at + k)[:, None] * N + j[None, :], ((at + k)[:, None] < K) & (j[None, :] < N), other=0.0)
        acc = tl.dot(x, y, acc)
    tl.store(c + i[:, None] * N + j[None, :], acc.to(c.dtype.element_ty), (i[:, None] < M) & (j[None, :] < N))


TILE = dict(BM=64, BN=64, BK=32)
a, b = normal(96, 128), normal(128, 80)
a16, b16 = a.astype(np.float16), b.astype(np.float16)
case(
    matmul,
    dict(a=In(a16), b=In(b16), c=Out(a16.astype(np.float32) @ b16.astype(np.float32), 1e-3), M=96, N=80, K=128),
    (2, 2),
    TILE,
)
abf, bbf = bf16(a), bf16(b)
case(
    matmul,
    dict(a=In(abf, "bf16"), b=In(bbf, "bf16"), c=Out(bf16(wide(abf) @ wide(bbf)), 0.02, "bf16"), M=96, N=80, K=128),
    (2, 2),
    TILE,
)
case(matmul, dict(a=In(a), b=In(b), c=Out(a @ b, 0.1), M=96, N=80, K=128), (2, 2), TILE)


@triton.jit
def matmul_int8(a, b, c, N: tl.constexpr, K: tl.constexpr):
    i, k = tl.arange(0, N), tl.arange(0, K)
    tl.store(
        c + i[:, None] * N + i[None, :],
        tl.dot(tl.load(a + i[:, None] * K + k[None, :]), tl.load(b + i[None, :] * K + k[:, None])),
    )


a8, b8 = random.integers(-128, 128, (64, 64), dtype=np.int8), random.integers(-128, 128, (64, 64), dtype=np.int8)
case(matmul_int8, dict(a=In(a8), b=In(b8), c=Out(a8.astype(np.int32) @ b8.T.astype(np.int32))), 1, dict(N=64, K=64))


@triton.jit
def grouped_matmul(a, b, c, starts, N: tl.constexpr, K: tl.constexpr, BM: tl.constexpr):
    group = tl.program_id(0)
    first, last = tl.load(starts + group), tl.load(starts + group + 1)
    j, k = tl.arange(0, N), tl.arange(0, K)
    weight = tl.load(b + group * K * N + k[:, None] * N + j[None, :])
    for row in range(first, last, BM):
        i = row + tl.arange(0, BM)
        v = tl.load(a + i[:, None] * K + k[None, :], i[:, None] < last, other=0.0)
        tl.store(c + i[:, None] * N + j[None, :], tl.dot(v, weight), i[:, None] < last)


starts = np.array([0, 5, 5, 40, 64], np.int32)
ga, gb = normal(64, 64, dtype=np.float16), normal(4, 64, 32, dtype=np.float16)
expected = np.concatenate(
    [ga[s:e].astype(np.float32) @ gb[g].astype(np.float32) for g, (s, e) in enumerate(zip(starts, starts[1:]))]
)
case(grouped_matmul, dict(a=In(ga), b=In(gb), c=Out(expected, 1e-3), starts=In(starts)), 4, dict(N=32, K=64, BM=16))


@triton.jit
def attention(q, k, v, out, n, scale, CAUSAL: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    d = tl.arange(0, D)
    base = tl.program_id(1) * n * D
    queries = tl.load(q + base + i[:, None] * D + d[None, :])
    top = tl.full((BM,), -float("inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, D), tl.float32)
    end = (tl.program_id(0) + 1) * BM if CAUSAL else n
    for start in range(0, end, BN):
        j = start + tl.arange(0, BN)
        keys = tl.load(k + base + j[None, :] * D + d[:, None])
        s = tl.dot(queries, keys) * (scale * 1.4426950408889634)
        if CAUSAL:
            s = tl.where(i[:, None] >= j[None, :], s, -float("inf"))
        new = tl.maximum(top, tl.max(s, 1))
        p = tl.exp2(s - new[:, None])
        old = tl.exp2(top - new)
        total = total * old + tl.sum(p, 1)
        acc = acc * old[:, None]
        acc = tl.dot(p.to(v.dtype.element_ty), tl.load(v + base + j[:, None] * D + d[None, :]), acc)
        top = new
    tl.store(out + base + i[:, None] * D + d[None, :], (acc / total[:, None]).to(out.dtype.element_ty))


def attend(q, k, v, causal):
    s = q @ k.transpose(0, 2, 1) / np.sqrt(np.float32(q.shape[2]))
    if causal:
        s = np.where(np.tril(np.ones(s.shape[1:], bool)), s, -np.inf)
    p = np.exp(s - s.max(2, keepdims=True))
    return p / p.sum(2, keepdims=True) @ v


for dtype, causal in [("f16", False), ("bf16", True)]:
    qkv = normal(3, 2, 128, 64)
    if dtype == "f16":
        narrow, kind = qkv.astype(np.float16), None
        numbers, finish = narrow.astype(np.float32), lambda o: o.astype(np.float16)
    else:
        narrow, kind = bf16(qkv), "bf16"
        numbers, finish = wide(narrow), bf16
    case(
        attention,
        dict(
            q=In(narrow[0], kind),
            k=In(narrow[1], kind),
            v=In(narrow[2], kind),
            out=Out(finish(attend(*numbers, causal)), 0.02, kind),
            n=128,
            scale=0.125,
        ),
        (2, 2),
        dict(CAUSAL=causal, D=64, BM=64, BN=32),
    )


@triton.jit
def convolution(x, weight, out, n, K: tl.constexpr, B: tl.constexpr):
    channel = tl.program_id(0)
    i = tl.program_id(1) * B + tl.arange(0, B)
    acc = tl.zeros((B,), tl.float32)
    for k in tl.static_range(K):
        at = i + k - K + 1
        acc += tl.load(x + channel * n + at, (at >= 0) & (at < n), other=0.0) * tl.load(weight + channel * K + k)
    tl.store(out + channel * n + i, acc, i < n)


cx, cw = normal(3, 200), normal(3, 4)
padded = np.pad(cx, ((0, 0), (3, 0)))
case(
    convolution,
    dict(
        x=In(cx), weight=In(cw), out=Out(sum(padded[:, k : k + 200] * cw[:, k : k + 1] for k in range(4)), 1e-5), n=200
    ),
    (3, 2),
    dict(K=4, B=128),
)


@triton.jit
def rotary(x, cos, sin, out, H: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, H)
    a, b = tl.load(x + row * 2 * H + i), tl.load(x + row * 2 * H + H + i)
    c, s = tl.load(cos + row * H + i), tl.load(sin + row * H + i)
    tl.store(out + row * 2 * H + i, a * c - b * s)
    tl.store(out + row * 2 * H + H + i, b * c + a * s)


rx, angle = normal(5, 128), normal(5, 64)
c, s = np.cos(angle), np.sin(angle)
case(
    rotary,
    dict(
        x=In(rx),
        cos=In(c),
        sin=In(s),
        out=Out(np.concatenate([rx[:, :64] * c - rx[:, 64:] * s, rx[:, 64:] * c + rx[:, :64] * s], 1), 1e-6),
    ),
    5,
    dict(H=64),
)


@triton.jit
def persistent(x, out, counter, tiles, B: tl.constexpr):
    tile = tl.program_id(0)
    while tile < tiles:
        i = tile * B + tl.arange(0, B)
        tl.store(out + i, tl.load(x + i) * 2)
        tile += tl.num_programs(0)
    tl.atomic_add(counter, 1)


case(
    persistent,
    dict(
        x=In(x[:896]), out=Out(x[:896] * 2), counter=Out(np.array([3], np.int32), start=np.zeros(1, np.int32)), tiles=7
    ),
    3,
    dict(B=128),
)


# Locks, prints, and other types of matrices


@triton.jit
def locked(x, out, lock, count, M, N: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, N)
    v = tl.load(x + row * N + i)
    group = row % 2
    while tl.atomic_cas(lock + group, 0, 1) == 1:
        pass
    first = tl.load(count + group)
    if first == 0:
        tl.atomic_xchg(count + group, 1)
    else:
        v += tl.load(out + group * N + i)
    tl.store(out + group * N + i, v)
    tl.debug_barrier()
    tl.atomic_xchg(lock + group, 0)


lx = random.integers(0, 100, (8, 64)).astype(np.float32)
case(
    locked,
    dict(
        x=In(lx),
        out=Out(np.stack([lx[0::2].sum(0), lx[1::2].sum(0)]), start=np.zeros((2, 64), np.float32)),
        lock=Out(np.zeros(2, np.int32), start=np.zeros(2, np.int32)),
        count=Out(np.ones(2, np.int32), start=np.zeros(2, np.int32)),
        M=8,
    ),
    8,
    dict(N=64),
)


@triton.jit
def matmul_fp8(a, b, c, TYPE: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i, k = tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + i[:, None] * K + k[None, :]).to(TYPE)
    y = tl.load(b + i[None, :] * K + k[:, None]).to(TYPE)
    tl.store(c + i[:, None] * N + i[None, :], tl.dot(x, y))


fa, fb = random.integers(-4, 5, (64, 64)).astype(np.float32), random.integers(-4, 5, (64, 64)).astype(np.float32)
for kind, since in [(tl.float8e5, 89), (tl.float8e4nv, 89)]:
    case(matmul_fp8, dict(a=In(fa), b=In(fb), c=Out(fa @ fb.T)), 1, dict(TYPE=kind, N=64, K=64), since=since)


@triton.jit
def matmul_int4(a, packed, scales, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i, j, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + i[:, None] * K + k[None, :])
    bits = tl.load(packed + (k // 2)[:, None] * N + j[None, :])
    w = ((bits >> ((k % 2) * 4)[:, None]) & 15).to(tl.float16) - 8
    tl.store(c + i[:, None] * N + j[None, :], tl.dot(x, w) * tl.load(scales + j)[None, :])


ia, codes = random.integers(-3, 4, (32, 64)).astype(np.float16), random.integers(0, 16, (64, 32), dtype=np.int32)
packed = (codes[0::2] | codes[1::2] << 4).astype(np.uint8)
sc = random.uniform(0.5, 2, 32).astype(np.float32)
case(
    matmul_int4,
    dict(
        a=In(ia),
        packed=In(packed),
        scales=In(sc),
        c=Out(ia.astype(np.float32) @ (codes - 8).astype(np.float32) * sc, 1e-5),
    ),
    1,
    dict(M=32, N=32, K=64),
)


@triton.jit
def prints(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    v = tl.load(x + i)
    tl.device_print("value", v)
    tl.store(out + i, v)


case(prints, dict(x=In(x[:32]), out=Out(x[:32])), 1, dict(B=32), warps=1)


@triton.jit
def matmul_batched(a, b, c, N: tl.constexpr):
    g = tl.program_id(0)
    i = tl.arange(0, N)
    x = tl.load(a + g * N * N + i[:, None] * N + i[None, :])
    y = tl.load(b + g * N * N + i[:, None] * N + i[None, :])
    z = tl.dot(x, y, input_precision="tf32x3")
    tl.store(c + g * N * N + i[:, None] * N + i[None, :], z)


ba, bb = normal(3, 64, 64), normal(3, 64, 64)
case(matmul_batched, dict(a=In(ba), b=In(bb), c=Out(ba @ bb, 1e-4)), 3, dict(N=64), warps=8)


@triton.jit
def doubles_dot(a, b, c, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(
        c + i[:, None] * N + i[None, :],
        tl.dot(
            tl.load(a + i[:, None] * N + i[None, :]), tl.load(b + i[:, None] * N + i[None, :]), out_dtype=tl.float64
        ),
    )


da_, db_ = random.standard_normal((16, 16)), random.standard_normal((16, 16))
case(doubles_dot, dict(a=In(da_), b=In(db_), c=Out(da_ @ db_, 1e-12)), 1, dict(N=16))
