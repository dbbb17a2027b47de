"""The frequency of the multiprocessors between two points of the default stream, from clocks that a kernel of a few lines reads.

A launch's cycles are its time by events times that frequency: under the power limit it moves from turn to turn, and a
contestant that is left less of it is not slower code. A kernel that waits goes first, so that what follows is already queued
when the first reading is taken, and the host stands nowhere between the two.
"""

import ctypes
import glob
import os
import statistics
import sysconfig

TEXT = rb"""
extern "C" __global__ void wait(unsigned long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
}
extern "C" __global__ void read_clocks(unsigned long long* out) {
    unsigned int multiprocessor;
    unsigned long long now;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(multiprocessor));
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    out[2 * multiprocessor] = clock64();
    out[2 * multiprocessor + 1] = now;
}
"""
# CTAs of a reading, for each multiprocessor: so many that every one gets some.
READERS = 8
# More than the numbers of multiprocessors, which need not be without gaps.
SLOTS = 512


def compiled(architecture):
    """The text as a cubin."""
    folder = sysconfig.get_path("purelib")
    found = sorted(glob.glob(folder + "/nvidia/*/lib/libnvrtc.so.1[23]"))
    for builtins in glob.glob(folder + "/nvidia/*/lib/libnvrtc-builtins.so*"):
        if "alt" not in builtins:
            ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)  # libnvrtc does not find it beside itself
    nvrtc = ctypes.CDLL(os.environ.get("SPARSYM_NVRTC") or (found[0] if found else "libnvrtc.so.13"))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    steps = [
        lambda: nvrtc.nvrtcCreateProgram(ctypes.byref(program), TEXT, b"clocks.cu", 0, None, None),
        lambda: nvrtc.nvrtcCompileProgram(program, 1, options),
        lambda: nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)),
    ]
    for step in steps:
        if status := step():
            raise RuntimeError(f"NVRTC gave status {status} for the kernel that reads clocks")
    cubin = ctypes.create_string_buffer(size.value)
    if status := nvrtc.nvrtcGetCUBIN(program, cubin):
        raise RuntimeError(f"NVRTC gave status {status} for the kernel that reads clocks")
    return cubin.raw


class Clocks:
    """Readings of the clocks of all multiprocessors; None of it runs without a GPU."""

    def __init__(self, torch):
        properties = torch.cuda.get_device_properties(0)
        self.torch, self.multiprocessors = torch, properties.multi_processor_count
        self.driver = ctypes.CDLL("libcuda.so.1")
        torch.zeros(1, device="cuda")
        module = ctypes.c_void_p()
        self.check(self.driver.cuModuleLoadData(ctypes.byref(module), compiled(f"sm_{properties.major}{properties.minor}")))
        self.functions = {}
        for name in (b"wait", b"read_clocks"):
            function = ctypes.c_void_p()
            self.check(self.driver.cuModuleGetFunction(ctypes.byref(function), module, name))
            self.functions[name] = function
        self.readings = [torch.zeros(2 * SLOTS, dtype=torch.int64, device="cuda") for _ in range(2)]

    def check(self, status):
        if status:
            raise RuntimeError(f"the driver gave status {status} for the kernel that reads clocks")

    def launch(self, name, ctas, argument):
        arguments = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.pointer(argument), ctypes.c_void_p))
        stream = ctypes.c_void_p(self.torch.cuda.current_stream().cuda_stream)
        status = self.driver.cuLaunchKernel(self.functions[name], ctas, 1, 1, 32, 1, 1, 0, stream, arguments, None)
        self.check(status)

    def start(self, milliseconds):
        """Waits on the GPU so long, then reads."""
        self.launch(b"wait", 1, ctypes.c_ulonglong(int(milliseconds * 1e6)))
        self.read(0)

    def stop(self):
        """Cycles a nanosecond since `start`: of the median multiprocessor."""
        self.read(1)
        self.torch.cuda.synchronize()
        before, after = (reading.cpu().view(-1, 2).tolist() for reading in self.readings)
        passed = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after) if a[0] and b[0]]
        return statistics.median(cycles / max(ns, 1) for cycles, ns in passed)

    def read(self, which):
        self.readings[which].zero_()
        out = ctypes.c_void_p(self.readings[which].data_ptr())
        self.launch(b"read_clocks", READERS * self.multiprocessors, out)
