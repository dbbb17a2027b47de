"""Other libraries, as lists of functions that each launch one call over a set of inputs of its own.

A peer that is not installed, or that refuses a shape, raises; the tables name it with the words of what it raised.
"""

import math

import torch

# Bytes of inputs between two uses of the same ones: four times the L2 cache of an H100 or H200.
ROTATED_BYTES = 200 << 20
# Compiled once: FlexAttention, and what a layer fuses.
COMPILED = {}


def dtype_of(name):
    return {"bf16": torch.bfloat16, "f16": torch.float16}[name]


def sets(device, dtype, *shapes):
    """Several sets of random tensors of these shapes."""
    count = 2
    if device == "cuda":
        count = min(64, 1 + max(1, math.ceil(ROTATED_BYTES / sum(2 * math.prod(shape) for shape in shapes))))
    return [[torch.randn(shape, device=device, dtype=dtype) for shape in shapes] for _ in range(count)]


def tokens(device, dtype, shape):
    """As `sparsym bench` draws them: normal numbers around a mean that changes every 128 tokens."""
    batch, n, heads, head_dim = shape
    means = torch.randn((batch, -(-n // 128), heads, head_dim), device=device, dtype=dtype)
    return torch.randn(shape, device=device, dtype=dtype) + means.repeat_interleave(128, 1)[:, :n]


class Attention:
    """Peers of one shape, over the same sets of inputs."""

    def __init__(self, device, n, heads, head_dim, dtype="bf16"):
        self.device, self.n, self.heads = device, n, heads
        shape, dtype = (1, n, heads, head_dim), dtype_of(dtype)
        count = 2
        if device == "cuda":
            count = min(64, 1 + max(1, math.ceil(ROTATED_BYTES / (6 * math.prod(shape)))))
        self.inputs = [[tokens(device, dtype, shape) for _ in range(3)] for _ in range(count)]

    def heads_first(self):
        return [[tensor.transpose(1, 2) for tensor in tensors] for tensors in self.inputs]

    def sdpa(self, name, causal=False):
        """PyTorch's attention by one of its backends; on a CPU whatever it has."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        backend = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}[name]
        if self.device == "cpu":
            backend = SDPBackend.MATH

        def call(q, k, v):
            with sdpa_kernel(backend):
                return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return [lambda tensors=tensors: call(*tensors) for tensors in self.heads_first()]

    def fa3(self, causal=False):
        """FlashAttention-3, from the wheel fa3-fwd."""
        from fa3_fwd_interface import flash_attn_func

        return [lambda t=tensors: flash_attn_func(*t, causal=causal) for tensors in self.inputs]

    def vsa(self, share):
        """FastVideo's block-sparse kernel for Hopper, from the wheel fastvideo-kernel; blocks of 64."""
        from fastvideo_kernel.block_sparse_attn import block_sparse_attn_sm90

        tiles = self.n // 64
        seen = torch.rand(1, self.heads, tiles, tiles, device=self.device) >= share
        index = torch.argsort((~seen).to(torch.int8), dim=-1, stable=True).to(torch.int32)
        counts, sizes = seen.sum(-1, dtype=torch.int32), torch.full((tiles,), 64, dtype=torch.int32, device=self.device)
        inputs = [[tensor.contiguous() for tensor in tensors] for tensors in self.heads_first()]
        return [lambda t=tensors: block_sparse_attn_sm90(*t, index, counts, sizes) for tensors in inputs]

    def flex_blocks(self, block, share):
        """FlexAttention, compiled, with blocks skipped by the same chance."""
        from torch.nn.attention.flex_attention import BlockMask

        tiles = -(-self.n // block)
        seen = torch.rand(1, self.heads, tiles, tiles, device=self.device) >= share
        order = torch.argsort((~seen).to(torch.int8), dim=-1, stable=True).to(torch.int32)
        counts = seen.sum(-1, dtype=torch.int32)
        none = torch.zeros_like(counts)
        mask = BlockMask.from_kv_blocks(
            none, order, counts, order, BLOCK_SIZE=(block, block), mask_mod=None, seq_lengths=(self.n, self.n)
        )
        return self.flex(mask, block)

    def flex_mask(self, allowed):
        """FlexAttention, compiled, with a mask over tokens."""
        from torch.nn.attention.flex_attention import create_block_mask

        return self.flex(create_block_mask(allowed, None, None, self.n, self.n, device=self.device), 128)

    def flex(self, mask, block):
        from torch.nn.attention.flex_attention import flex_attention

        # With blocks of 64 tokens the default tile of 128 rows is refused.
        tile = {"BLOCK_M": 64, "BLOCK_N": 64} if block < 128 else None
        if "flex" not in COMPILED:
            compiled = self.device == "cuda"
            COMPILED["flex"] = torch.compile(flex_attention, dynamic=False) if compiled else flex_attention
        run = COMPILED["flex"]
        inputs = [[tensor.contiguous() for tensor in tensors] for tensors in self.heads_first()]
        return [lambda t=tensors: run(*t, block_mask=mask, kernel_options=tile) for tensors in inputs]


def addmm(device, rows, columns, depth):
    """cuBLAS, with a bias."""
    bias = torch.randn(columns, device=device, dtype=torch.bfloat16)
    inputs = sets(device, torch.bfloat16, (rows, depth), (columns, depth))
    return [lambda t=tensors: torch.nn.functional.linear(t[0], t[1], bias) for tensors in inputs]


def linear(device, rows, columns, depth):
    """cuBLAS, without."""
    inputs = sets(device, torch.bfloat16, (rows, depth), (columns, depth))
    return [lambda t=tensors: torch.nn.functional.linear(*t) for tensors in inputs]


def copy(device, shape):
    """One tensor to another: as many bytes as reading two of them."""
    pairs = sets(device, torch.bfloat16, shape, shape)
    return [lambda t=tensors: t[1].copy_(t[0]) for tensors in pairs]


class Stream(torch.nn.Module):
    """Projections of text or vision, as a double-stream layer of FLUX has them."""

    def __init__(self, width, heads, head_dim):
        super().__init__()
        self.qkv = torch.nn.Linear(width, 3 * heads * head_dim)
        self.o = torch.nn.Linear(heads * head_dim, width)
        self.q_norm, self.k_norm = (torch.nn.Parameter(torch.ones(head_dim)) for _ in range(2))


def normed_and_turned(x, weight, cos, sin):
    """RMSNorm of each head, and rotation of pairs (2i, 2i + 1); what torch.compile fuses."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6) * weight.float()
    even, odd = wide.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
    return turned.to(x.dtype)


def layer(device, facts):
    """A dense double-stream layer: cuBLAS, cuDNN, norm and rotation fused by torch.compile."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    heads, head_dim, width = facts["heads"], facts["head_dim"], facts["width"]
    lengths = [facts["text"], facts["vision"]]
    dtype = torch.bfloat16
    streams = [Stream(width, heads, head_dim).to(device=device, dtype=dtype) for _ in lengths]
    inputs = [[torch.randn((1, n, width), device=device, dtype=dtype) for n in lengths] for _ in range(2)]
    angles = torch.rand((sum(lengths), 1, head_dim // 2), device=device) * 6.28
    parts = [(part.cos(), part.sin()) for part in angles.split(lengths)]
    backend = SDPBackend.CUDNN_ATTENTION if device == "cuda" else SDPBackend.MATH

    def project(stream, x, turns):
        q, k, v = stream.qkv(x).unflatten(-1, (3, heads, head_dim)).unbind(2)
        return normed_and_turned(q, stream.q_norm, *turns), normed_and_turned(k, stream.k_norm, *turns), v

    def joined(text, vision):
        made = [project(stream, x, turns) for stream, x, turns in zip(streams, (text, vision), parts)]
        return [torch.cat(pair, 1) for pair in zip(*made)]

    def back(o):
        return [stream.o(part) for stream, part in zip(streams, o.flatten(-2).split(lengths, 1))]

    if device == "cuda":
        joined, back = torch.compile(joined, dynamic=False), torch.compile(back, dynamic=False)

    @torch.no_grad()
    def call(text, vision):
        q, k, v = (tensor.transpose(1, 2) for tensor in joined(text, vision))
        with sdpa_kernel(backend):
            o = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return back(o.transpose(1, 2))

    return [lambda t=tensors: call(*t) for tensors in inputs]
