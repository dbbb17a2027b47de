"""Compiles the kernels of vectors.py and matrices.py with Triton, runs each with ptx-run under all checks, and compares with NumPy.

usage: run.py PTX_RUN FOLDER [NAME]

PTX_RUN is the program; texts and arrays go to FOLDER, and NAME picks kernels whose name contains it. Needs no GPU.
Prints a line for every kernel and target that does not hold, then a count; the status says whether all hold.
"""

import os
import pathlib
import subprocess
import sys

TARGETS = [80, 89, 90, 120]
# Copies at their last moment and the order of warps that is easiest to follow; the opposite of both; any order.
RUNS = [[], ["--schedule", "reverse", "--copies", "earliest"], ["--schedule", "random", "--seed", "3"]]


def kind_of(argument):
    """The type of an argument as Triton's signatures name it."""
    names = {
        "float16": "fp16",
        "float32": "fp32",
        "float64": "fp64",
        "int8": "i8",
        "uint8": "u8",
        "int16": "i16",
        "int32": "i32",
        "int64": "i64",
    }
    if isinstance(argument, (int, float)):
        return "i32" if isinstance(argument, int) else "fp32"
    return "*" + (argument.kind or names[argument.array.dtype.name])


def compiled(kernel, arguments, constants, warps, target):
    signature = {name: kind_of(argument) for name, argument in arguments.items()}
    signature |= {name: "constexpr" for name in constants}
    # Buffers begin at multiples of 16, as PyTorch's do.
    aligned = {(at,): [["tt.divisibility", 16]] for at, kind in enumerate(signature.values()) if kind[0] == "*"}
    source = ASTSource(kernel, signature, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", target, 32), options={"num_warps": warps})


def command_line(place, arguments, target_folder):
    """Writes the arrays, and names them and the numbers as ptx-run expects them."""
    words, outputs = [], []
    for name, argument in arguments.items():
        if isinstance(argument, int):
            words.append(f"i32={argument}")
        elif isinstance(argument, float):
            words.append(f"f32={argument!r}")
        elif isinstance(argument, cases.In):
            np.save(place / f"{name}.npy", np.ascontiguousarray(argument.array))
            words.append(f"in={place / name}.npy")
        else:
            result = target_folder / f"{name}.npy"
            outputs.append((name, argument, result))
            if argument.start is not None:
                np.save(place / f"{name}.start.npy", argument.start)
                words.append(f"inout={place / name}.start.npy:{result}")
            else:
                array = argument.array
                kind = {"float": "f", "int": "i", "uint": "u"}[array.dtype.name.rstrip("0123456789")]
                shape = ",".join(map(str, array.shape))
                words.append(f"out={result}:{kind}{8 * array.itemsize}[{shape}]")
    return words, outputs


def difference(found, argument):
    """What is wrong with a result, or None. The tolerance is absolute near 0 and relative above 1."""
    wanted = np.ascontiguousarray(argument.array)
    if argument.kind == "bf16":
        found, wanted = cases.wide(found), cases.wide(wanted)
    found, wanted = found.reshape(wanted.shape).astype(np.float64), wanted.astype(np.float64)
    off = np.abs(found - wanted) / np.maximum(1, np.abs(wanted))
    off = np.where(found == wanted, 0, np.where(np.isnan(off), np.inf, off))
    if off.max() <= argument.tolerance:
        return None
    at = np.unravel_index(off.argmax(), off.shape)
    return f"{found[at]} at {tuple(map(int, at))}, not {wanted[at]}"


def mistake(program, place, target, kernel, arguments, grid, constants, warps):
    """What is wrong with a kernel on a target, or None."""
    try:
        built = compiled(kernel, arguments, constants, warps, target)
    except Exception as error:  # whatever Triton raises
        return f"Triton does not compile it: {str(error).strip().splitlines()[-1]}"
    folder = place / f"sm_{target}"
    folder.mkdir(exist_ok=True)
    text = folder / "kernel.ptx"
    text.write_text(built.asm["ptx"])
    words, outputs = command_line(place, arguments, folder)
    # Triton's own parameters come last: scratch memory, which none of these kernels has.
    words += ["null", "null"]
    launch = ["--grid", ",".join(map(str, grid)), "--block", str(32 * warps), "--shared", str(built.metadata.shared)]
    for run in RUNS:
        done = subprocess.run([program, text, *launch, *run, *words], capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr.strip()
        for name, argument, result in outputs:
            wrong = difference(np.load(result), argument)
            if wrong:
                return f"{name}: {wrong} {' '.join(run)}"
    return None


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    count = wrong = 0
    for index, (kernel, *rest, since) in enumerate(cases.CASES):
        if len(sys.argv) > 3 and sys.argv[3] not in kernel.__name__:
            continue
        place = folder / f"{index}_{kernel.__name__}"
        place.mkdir(parents=True, exist_ok=True)
        for target in [target for target in TARGETS if target >= since]:
            count += 1
            said = mistake(program, place, target, kernel, *rest)
            if said:
                wrong += 1
                print(f"{place.name} for sm_{target}: {said}\n", flush=True)
    print(f"{count - wrong} of {count} kernels of Triton {triton.__version__} hold")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    # What Triton compiles stays in the folder.
    os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
    os.environ["TRITON_CACHE_DIR"] = str(pathlib.Path(sys.argv[2]).absolute() / "cache")
    import numpy as np
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    import cases
    import vectors  # the order of the launches
    import matrices

    sys.exit(main())
