"""What a kernel is launched with and must give, and numbers to launch it with."""

import numpy as np


class In:
    """An array that a kernel reads."""

    def __init__(self, array, kind=None):
        self.array, self.kind = array, kind


class Out:
    """An array that a kernel makes: what it must hold, and how far off it may be."""

    def __init__(self, array, tolerance=0.0, kind=None, start=None):
        self.array, self.tolerance, self.kind, self.start = array, tolerance, kind, start


CASES = []


def case(kernel, arguments, grid=1, constants=None, warps=4, since=80):
    """One launch: arguments by name in the kernel's order, numbers as they are. Targets before `since` lack it."""
    CASES.append((kernel, arguments, grid if isinstance(grid, tuple) else (grid,), constants or {}, warps, since))


random = np.random.default_rng(1)


def normal(*shape, dtype=np.float32):
    return random.standard_normal(shape).astype(np.float32).astype(dtype)


def bf16(array):
    """The bits of an array rounded to bfloat16, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def wide(bits):
    """The numbers that bits of bfloat16 stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


x, y = normal(1000), normal(1000)
