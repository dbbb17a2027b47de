"""sparsym's rows in this process, by the library `libsparsym_beside.so` (crates/beside)."""

import ctypes
import json

VISIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


class Failed(RuntimeError):
    """What the library says went wrong."""


class Library:
    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        for name, arguments in [
            ("bench", [ctypes.c_char_p, VISIT, ctypes.c_void_p]),
            ("layers", [ctypes.c_char_p, VISIT, ctypes.c_void_p]),
            ("launch", [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_double)]),
            ("free", [ctypes.c_void_p]),
        ]:
            function = getattr(self.library, f"sparsym_beside_{name}")
            function.argtypes, function.restype = arguments, None if name == "free" else ctypes.c_void_p

    def call(self, name, *arguments):
        text = getattr(self.library, f"sparsym_beside_{name}")(*arguments)
        if text:
            words = ctypes.string_at(text).decode()
            self.library.sparsym_beside_free(text)
            raise Failed(words)

    def visit(self, kind, arguments, body):
        """Calls `body` with the rows of `bench` or `layers` while they live, and gives what it gives."""
        kept = {}

        def visit(_, rows, description):
            try:
                kept["value"] = body(Rows(self, rows, json.loads(description)))
            except BaseException as raised:  # ctypes swallows what a callback raises
                kept["raised"] = raised

        line = json.dumps([str(argument) for argument in arguments]).encode()
        self.call(kind, line, VISIT(visit), None)
        if "raised" in kept:
            raise kept["raised"]
        return kept["value"]

    def visit_all(self, kind, lines, body, rows=()):
        """The rows of several lines of arguments, all alive at once."""
        if not lines:
            return body(*rows)
        return self.visit(kind, lines[0], lambda made: self.visit_all(kind, lines[1:], body, (*rows, made)))


class Rows:
    """Rows of one line of arguments: `facts` says what each is."""

    def __init__(self, library, pointer, facts):
        self.library, self.pointer, self.facts = library, pointer, facts

    def launch(self, row, launches):
        """Milliseconds of each of so many launches, one right after another."""
        times = (ctypes.c_double * launches)()
        self.library.call("launch", self.pointer, row, launches, times)
        return list(times)

