"""Contestants in one process, in turns: medians of interleaved rounds, the order reversed every other round."""

import statistics
import time

# Launches of a contestant in a turn.
FEWEST, MOST = 3, 400
# Launches of a short contestant before the first turn: what a launch costs the host shows there.
WARM_UP = 30
# Multiply-adds of bf16 and f16 that the tensor cores of a Hopper multiprocessor do in a cycle, as operations.
FLOPS_A_CYCLE = 4096


class Ours:
    """A row of the library."""

    def __init__(self, name, rows, row):
        self.name, self.rows, self.row, self.facts = name, rows, row, rows.facts[row]
        self.flops, self.host_ms = self.facts.get("flops"), 0.0

    def launch(self, count):
        return self.rows.launch(self.row, count)

    def warm_up(self, count):
        """Launches, and finds out what one costs the host: the library fills in all of them before it queues the first."""
        start = time.perf_counter()
        times = self.launch(count)
        self.host_ms = max(0.0, (time.perf_counter() - start) * 1e3 - sum(times)) / count


class Peer:
    """Functions of another library, which take turns."""

    def __init__(self, name, calls, torch, device, flops=None):
        self.name, self.calls, self.torch, self.device, self.flops = name, calls, torch, device, flops
        self.at, self.host_ms = 0, 0.03

    def warm_up(self, count):
        self.launch(count)

    def next(self):
        self.calls[self.at % len(self.calls)]()
        self.at += 1

    def launch(self, count):
        if self.device != "cuda":
            times = []
            for _ in range(count):
                start = time.perf_counter()
                self.next()
                times.append((time.perf_counter() - start) * 1e3)
            return times
        events = [[self.torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(count)]
        for start, end in events:
            start.record()
            self.next()
            end.record()
        self.torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in events]


class Found:
    """What a contestant took, round by round."""

    def __init__(self, contestant):
        self.contestant, self.ms, self.cycles, self.ghz = contestant, [], [], []

    def median(self):
        return statistics.median(self.ms)

    def tflops(self):
        return self.contestant.flops / self.median() / 1e9 if self.contestant.flops else None

    def use(self, multiprocessors):
        """Share of the cycles of all tensor cores."""
        if not (self.cycles and self.contestant.flops):
            return None
        return self.contestant.flops / (statistics.median(self.cycles) * multiprocessors * FLOPS_A_CYCLE)


def turns(contestants, clocks, rounds, seconds):
    """Results by name, and the reasons of those that did not run."""
    found, absent, counts = {}, {}, {}
    for contestant in contestants:
        try:
            estimate = min(contestant.launch(FEWEST))
            contestant.warm_up(WARM_UP if estimate < 1 else FEWEST)
        except Exception as problem:
            if isinstance(contestant, Ours):
                raise
            absent[contestant.name] = words(problem)
            continue
        found[contestant.name] = Found(contestant)
        counts[contestant.name] = max(FEWEST, min(MOST, int(seconds * 1e3 / max(estimate, 1e-3))))
    for turn in range(rounds):
        for name in list(found) if turn % 2 == 0 else list(reversed(found)):
            result, count = found[name], counts[name]
            if clocks:
                # Longer than the host needs before the first launch is queued.
                clocks.start(0.5 + 1.3 * count * result.contestant.host_ms)
            times = result.contestant.launch(count)
            result.ms.append(statistics.median(times))
            if clocks:
                result.ghz.append(clocks.stop())
                result.cycles.append(statistics.fmean(times) * 1e6 * result.ghz[-1])
    return found, absent


def over(one, other, of="ms"):
    """The median over the rounds of one's share of the other; None without readings."""
    pairs = list(zip(getattr(one, of), getattr(other, of)))
    return statistics.median(a / b for a, b in pairs) if pairs else None


def words(problem):
    lines = [line for line in str(problem).strip().splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0][:160] if lines else 'no words'}"
