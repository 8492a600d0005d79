"""The local rule with leaders found by a screen in bfloat16: what it saves, and whether it is the same rule.

``python -m benchmarks screening`` writes ``benchmarks/screening.json`` and its part of ``book/cost.md``. Three things:
seconds per step at the paper's size, with and without; the paper's training on CIFAR-10 for its first ``STEPS`` steps,
in which every step's leaders are found in both ways; and layers of a hundred units, trained until most are at their
norm, in both ways, beside what another order of the sums and another seed change.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import page
from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.data.files import write_json
from bioadv.data.moments import Moments
from bioadv.lab import alone, layers, provenance
from bioadv.measure import powerlaw, spectra
from bioadv.network import kh_params, layer_health
from bioadv.network import local_learning as ll
from bioadv.network.screening import Screen

Tensor = torch.Tensor
FILE = Path("benchmarks/screening.json")
SEEDS, STEPS, WINDOW = (0, 1, 2), 50, (5, 50)


def compared(x: Tensor, seed: int, steps: int = STEPS) -> tuple[dict[str, float], Tensor]:
    """The paper's training, in float32: how often a screen finds other leaders. And the synapses that it came to."""
    params, generator = kh_params.PAPER_CIFAR10, torch.Generator().manual_seed(seed)
    w = ll.init(params, x.shape[1], generator)
    m, order = ll.metric(w, params.p), torch.randperm(len(x), generator=generator).split(params.batch)[:steps]
    screen, seen = Screen(m, x[order[0]]), torch.zeros(4, dtype=torch.float64)
    for chosen in order:
        exact, found = ll.responses(x[chosen], m).topk(params.k, dim=1)[1], screen.leaders(x[chosen], params.k)[1]
        other = (exact != found).sum(0)
        seen += torch.tensor([len(chosen), int(other[0]), int(other[-1]), screen.candidates * len(chosen)])
        before = m.clone()
        ll.step(w, m, x[chosen], params, ll.learning_rate(params, 1))
        screen.changed((before != m).any(1).nonzero()[:, 0])
    images, winners, others, candidates = seen.tolist()
    return {"images": images, "winner": winners, "rank k": others, "candidates": candidates / images}, w


def speed(w: Tensor, x: Tensor) -> dict[str, list[float]]:
    """Seconds of the processor per step, of the whole product, and of finding the leaders in both ways."""
    params = kh_params.PAPER_CIFAR10
    m, v = ll.metric(w, params.p), w.clone()
    n = m.clone()
    screen, other = Screen(m, x), Screen(n.clone(), x)
    functions = {
        "step": lambda: ll.step(v, n, x, params, 1e-9),
        "step, screened": lambda: ll.step(w, m, x, params, 1e-9, screen),
        "its product": lambda: ll.responses(x, n),
        "leaders, screened": lambda: other.leaders(x, params.k),
    }
    return interleaved(functions, rounds=7, warmup=1, clock=time.process_time)


class Reordered:
    """The whole product with its sums in another order: what rounding alone does to a training."""

    def __init__(self, m: Tensor, images: Tensor) -> None:
        self.m, self.order = m, torch.randperm(images.shape[1], generator=torch.Generator().manual_seed(0))

    def changed(self, rows: Tensor) -> None:
        """Nothing to note."""

    def leaders(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest responses and their units."""
        found = ll.responses(x[:, self.order], self.m[:, self.order]).topk(k, dim=1)
        return found.values, found.indices


WAYS: dict[str, Any] = {"": None, ", screened": Screen, ", reordered": Reordered}


def trained(x: Tensor, of: Moments, seed: int, way: str) -> dict[str, float]:
    """A layer of a hundred units after its training, in what the book says of layers."""
    params = replace(alone.FEW, epochs=layers.STEPS * alone.FEW.batch // len(x))
    layer = ll.train(x, params, torch.Generator().manual_seed(seed), screen=WAYS[way], progress=False)
    health, m = layer_health.health(layer.synapses, x, params), ll.metric(layer.synapses, params.p)
    values = spectra.eigenspectrum(spectra.linear_moments(of, m)).numpy()
    return {
        "exponent": powerlaw.fit(values, WINDOW).alpha,
        "mean norm": float(health.norms.mean()),
        "units at their norm": health.converged,
        "units that win": health.winning,
    }


def small(x: Tensor, of: Moments) -> dict[str, dict[str, float]]:
    """Each way for each seed."""
    return {f"{seed}{way}": trained(x, of, seed, way) for seed in SEEDS for way in WAYS}


def gaps(numbers: Mapping[str, Mapping[str, float]], name: str) -> list[float]:
    """By how much a number differs at most: by the screen, by the order of sums, between seeds."""
    ways = [max(abs(numbers[f"{s}"][name] - numbers[f"{s}{way}"][name]) for s in SEEDS) for way in WAYS if way]
    plain = [numbers[f"{s}"][name] for s in SEEDS]
    return [*ways, max(plain) - min(plain)]


def table(found: Mapping[str, Any]) -> str:
    """What the page shows."""
    s, paper, numbers = found["seconds"], found["paper"], found["small"]
    images = sum(one["images"] for one in paper)
    winner, rank = (sum(one[key] for one in paper) for key in ("winner", "rank k"))
    candidates = sum(one["candidates"] for one in paper) / len(paper)
    ratio, ms, fast = s["step, screened"] / s["step"], 1e3 * s["step"], 1e3 * s["step, screened"]
    lines = [
        f"A screened step takes {ratio:.2f} of the time of one with the whole product, {fast:.0f} against {ms:.0f} ms. "
        f"In the first {STEPS} steps of the paper's training on CIFAR-10, for {images:,.0f} images of {len(paper)} "
        f"seeds, {candidates:.1f} of 2000 units per image were left to decide among. By the "
        f"whole product, {winner:.0f} images had another winner and {rank:.0f} another unit of rank k. Small layers "
        f"({alone.FEW.hidden} units, {alone.IMAGES:,} images, {layers.STEPS:,} steps; {len(SEEDS)} seeds) "
        "differ by this much:",
        "",
        "| what differs | by the screen | by the order of sums | by the seed |",
        "|---|---|---|---|",
    ]
    for name in numbers["0"]:
        lines.append(f"| {name} | {' | '.join(f'{gap:.2g}' for gap in gaps(numbers, name))} |")
    return "\n".join(lines) + f"\n\n{page.conditions(found)}; ranks {WINDOW[0]} to {WINDOW[1]}.\n"


def main() -> None:
    """Measure, print, and write the file and its part of the page."""
    data = load("cifar10")
    x = unit_lp(data.train)
    paper = [compared(x, seed) for seed in SEEDS]
    for seed, (one, _) in zip(SEEDS, paper, strict=True):
        print(f"seed {seed}, first {STEPS} steps: {one}", flush=True)
    seconds = speed(paper[0][1], x[: kh_params.PAPER_CIFAR10.batch].clone())
    report("KH step, 1000 x 3072 -> 2000", seconds, "step")
    found = {
        "environment": provenance.environment(),
        "seconds": {name: min(values) for name, values in seconds.items()},
        "paper": [one for one, _ in paper],
        "small": small(x[: alone.IMAGES].clone(), spectra.moments(unit_lp(data.test))),
    }
    write_json(FILE, found)
    page.write("screening", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
