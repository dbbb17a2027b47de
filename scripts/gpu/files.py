"""Tensor files for `sparsym run`, and its reports."""

import json
import pathlib
import struct
import subprocess

import numpy

HERE = pathlib.Path(__file__).parent
DTYPES = {numpy.dtype(numpy.uint16): "BF16", numpy.dtype(numpy.uint8): "U8"}


def bf16(values):
    """f32 values cut to bfloat16, as 16-bit integers."""
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


def run(arguments, runs):
    """The report of `sparsym run`, the best of so many calls."""
    command = [HERE / "sparsym", "run", *arguments, "--repeat", str(runs), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)
