"""Generated kernels beside PyTorch: what `sparsym emit --json` prints, compiled by NVRTC and launched by the driver.

The JSON holds the text, its launches (threads, shared memory, what counts the CTAs along each axis), and the layout of
the one parameter, a struct. Nothing here knows a kernel: values are found by the names of the struct's fields.
"""

import ctypes
import json
import struct
import subprocess

FORMATS = {"int": "<i", "float": "<f"}


class Kernel:
    """A generated text with its contract; on a GPU also the loaded function."""

    def __init__(self, label, emitted):
        self.label = label
        self.name = emitted["name"]
        self.source = emitted["source"]
        self.plan = emitted["plan"]
        # Kernels of the attention room are one launch.
        (launch,) = emitted["launches"]
        self.threads = launch["threads"]
        self.shared_bytes = launch["shared_bytes"]
        self.axes = launch["grid"]
        self.bytes = emitted["params"]["bytes"]
        self.fields = emitted["params"]["fields"]
        self.function = None
        self.registers = None

    def pack(self, values):
        """The bytes of the parameter struct; `values` holds numbers, and addresses of buffers, by name of field."""
        block = bytearray(self.bytes)
        for field in self.fields:
            if field["name"] not in values:
                raise KeyError(f"{self.label}: nothing to put into {field['name']}")
            form = "<Q" if field["type"].endswith("*") else FORMATS[field["type"]]
            struct.pack_into(form, block, field["offset"], values[field["name"]])
        return bytes(block)

    def grid(self, n_q, heads, batch):
        """CTAs along x, y and z."""
        counts = {
            "q_tiles": -(-n_q // max(self.plan["tile_q"], 1)),
            "q_blocks": -(-n_q // self.plan["block_q"]),
            "heads": heads,
            "batch": batch,
            "one": 1,
        }
        return [counts[axis] for axis in self.axes]

    def load(self):
        """Compiles and loads the text. A current context is needed; PyTorch makes one."""
        from cuda.bindings import driver

        cubin, self.registers = compile_text(self.source, self.name, self.plan["target"])
        self.module = checked(driver.cuModuleLoadData(cubin))
        self.function = checked(driver.cuModuleGetFunction(self.module, self.name.encode()))
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        checked(driver.cuFuncSetAttribute(self.function, attribute, self.shared_bytes))
        return self

    def launcher(self, values, grid, stream):
        """A function that launches this call."""
        from cuda.bindings import driver

        block = ctypes.create_string_buffer(self.pack(values), self.bytes)
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(block))
        address = ctypes.addressof(pointers)
        stream = driver.CUstream(stream)
        shape = (*grid, self.threads, 1, 1, self.shared_bytes)

        def launch(keep=(block, pointers)):
            checked(driver.cuLaunchKernel(self.function, *shape, stream, address, 0))

        return launch


def emit(binary, label, strategy, target, head_dim, block):
    """Generates a kernel with the `sparsym` binary."""
    command = [binary, "--json", "emit", strategy, "--room", "attention", "--target", target]
    command += ["--head-dim", str(head_dim), "--block-q", str(block), "--block-kv", str(block)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return Kernel(label, json.loads(done.stdout))


def compile_text(text, name, target):
    """Cubin and registers of a text. Options are those of the runtime, which checks for spills; so does this."""
    from cuda.bindings import nvrtc

    options = [f"--gpu-architecture={target}", "--ptxas-options=-v", "-lineinfo", "--no-cache"]
    program = checked(nvrtc.nvrtcCreateProgram(text.encode(), f"{name}.cu".encode(), 0, [], []))
    result = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])[0]
    log = b" " * checked(nvrtc.nvrtcGetProgramLogSize(program))
    checked(nvrtc.nvrtcGetProgramLog(program, log))
    log = log.decode(errors="replace")
    if int(result) != 0:
        raise RuntimeError(f"{name}: {log}")
    if " 0 bytes spill stores, 0 bytes spill loads" not in log:
        raise RuntimeError(f"{name} spills: {log}")
    cubin = b" " * checked(nvrtc.nvrtcGetCUBINSize(program))
    checked(nvrtc.nvrtcGetCUBIN(program, cubin))
    registers = log.split(": Used ")[1].split(" registers")[0] if ": Used " in log else "0"
    return cubin, int(registers)


def checked(result):
    """The values of a call of the driver or of NVRTC; an exception if it failed."""
    code, *values = result
    if int(code) != 0:
        raise RuntimeError(f"the call failed with {code!r}")
    return values[0] if len(values) == 1 else values or None
