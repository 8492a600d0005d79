"""A Jacobian landscape at the paper's size, beside a loop over units by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.measure import landscapes
from bioadv.network import models
from bioadv.network.models import TwoLayer

UNITS = 20  # of the loop that are timed; their mean stands for the others


def loop_over_units(model: TwoLayer, x: torch.Tensor, units: int = UNITS) -> torch.Tensor:
    """The definition as one writes it first: a backward pass per hidden unit; the sum over the first ``units``."""
    x = x.clone().requires_grad_()
    a, total = model.after(x), torch.zeros(len(x))
    for unit in range(units):
        (row,) = torch.autograd.grad(a[:, unit].sum(), x, retain_graph=True)
        total += row.square().sum(1)
    return total


def main() -> None:
    """Print the time of 10,000 points and 2000 units for n = 1 and 4.5, and the ratio to the loop, extrapolated."""
    x = unit_lp(load("photo-patches").test.first(1))[0]
    generator = torch.Generator().manual_seed(0)
    plane = landscapes.random_plane(x, generator)
    images = x + 20 * torch.randn(1000, len(x), generator=generator) / len(x) ** 0.5
    for power in (1.0, 4.5):
        model = models.init(TwoLayer(len(x), 2000, 10, power), torch.Generator().manual_seed(0))
        loop = f"loop, {UNITS} units, 1000 points"
        functions: dict[str, Callable[[], object]] = {
            "landscape, 10,000 points": partial(landscapes.landscape, model, plane),
            "with the logits' Jacobian": partial(landscapes.landscape, model, plane, logit_jacobian=True),
            loop: partial(loop_over_units, model, images),
        }
        seconds = interleaved(functions, rounds=5, warmup=1)
        measured = seconds.pop(loop)
        # Ten times the points and 2000 / UNITS times the backward passes: extrapolated, for it would take minutes.
        seconds["loop over units, extrapolated"] = [10 * 2000 / UNITS * value for value in measured]
        report(f"Jacobian landscape, 3072 -> 2000, n = {power}", seconds, "landscape, 10,000 points")


if __name__ == "__main__":
    main()
