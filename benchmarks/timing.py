"""Interleaved timing of functions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    rounds: int = 30,
    warmup: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds per call of each function, called in turn ``rounds`` times after ``warmup`` uncounted rounds.

    clock: ``time.process_time`` counts the processor's seconds, of all threads together, and not those of waiting.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warmup + rounds):
        for name, function in functions.items():
            start = clock()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= warmup:
                seconds[name].append(clock() - start)
    return seconds


def report(title: str, seconds: Mapping[str, list[float]], unit: str) -> None:
    """Print minimum and median of each in milliseconds, and both as ratios to ``unit``'s."""
    print(f"\n{title} ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})")
    print(f"{'':34s}{'min ms':>9s}{'median':>9s}{'ratio of min':>15s}{'of medians':>12s}")
    for name, values in seconds.items():
        low, middle = min(values), statistics.median(values)
        base = seconds[unit]
        ratios = low / min(base), middle / statistics.median(base)
        print(f"{name:34s}{1e3 * low:9.1f}{1e3 * middle:9.1f}{ratios[0]:15.2f}{ratios[1]:12.2f}", flush=True)
