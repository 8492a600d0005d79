"""Our steps beside the products they cannot do without, and beside what a user would write or pick instead.

``python -m benchmarks peers``: one process, one thread, all in turn, in seconds of the processor. It writes
``benchmarks/peers.json`` and the table of ``book/cost.md``. Ratios are of the minima, which other work on the machine
disturbs least.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import page
from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.data.files import write_json
from bioadv.lab import provenance
from bioadv.measure import gradient_ascent
from bioadv.network import kh_params, local_learning, models, products
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.spectral_penalty import Spectral, image_covariance, principal_directions
from bioadv.network.steps import adam, step_function

Tensor = torch.Tensor
Timed = dict[str, list[float]]
FILE = Path("benchmarks/peers.json")
IMAGES, UNITS, STEPS, EPS = int(os.environ.get("BIOADV_BENCHMARK_IMAGES", "250")), 2000, 10, 2e-3
# What is compared, with what, and the largest ratio that we want.
GOALS = (
    ("PGD, per step", "pgd", "ours", "its two products", 1.2),
    ("PGD, per step", "pgd", "ours", "autograd by hand", 1.0),
    ("PGD, per step", "pgd", "ours", "foolbox", 1.0),
    ("PGD, per step", "pgd", "ours", "torchattacks", 1.0),
    ("Training by backpropagation, one step", "training", "ours", "autograd by hand", 1.0),
    ("Spectral penalty, one step", "training", "ours, spectral", "autograd by hand, spectral", 1.0),
    ("Local rule, one step", "local rule", "ours", "its product", 1.2),
    ("Local rule, one step", "local rule", "ours", "dense matrices", 1.0),
)


def pgd(x: Tensor, y: Tensor) -> Timed:
    """Seconds per PGD attack of ``STEPS`` steps."""
    model = _model(x)
    plain, packed, light = _plain(model), products.Packed(model.hidden), models.frozen(model)  # as every search has it
    g = torch.randn(len(x), UNITS)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: gradient_ascent.pgd(light, x, y, EPS, gradient_ascent.PGD(steps=STEPS)),
        "its two products": lambda: [(packed.product(x), packed.against(g)) for _ in range(STEPS)],
        "autograd by hand": lambda: _by_hand(plain, x, y),
    }
    if importlib.util.find_spec("foolbox"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            foolbox: Any = importlib.import_module("foolbox")
        wrapped = foolbox.PyTorchModel(plain, bounds=(0.0, 1.0), device="cpu")
        attack = foolbox.attacks.LinfPGD(abs_stepsize=0.1 * EPS, steps=STEPS, random_start=False)
        criterion = foolbox.criteria.Misclassification(y)
        functions["foolbox"] = lambda: attack.run(wrapped, x, criterion, epsilon=EPS)
    if importlib.util.find_spec("torchattacks"):
        other = importlib.import_module("torchattacks").PGD(
            plain, eps=EPS, alpha=0.1 * EPS, steps=STEPS, random_start=False
        )
        functions["torchattacks"] = lambda: other(x, y)
    return interleaved(functions, rounds=3, warmup=0, clock=time.process_time)


def _by_hand(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    moved = x.clone()
    for _ in range(STEPS):
        inputs = moved.clone().requires_grad_()
        (uphill,) = torch.autograd.grad(cross_entropy(model(inputs), y), inputs)
        moved = (x + (moved + 0.1 * EPS * uphill.sign() - x).clamp(-EPS, EPS)).clamp(0, 1)
    return moved


def steps(x: Tensor, y: Tensor) -> Timed:
    """Seconds per training step, without and with the spectral penalty."""
    functions: dict[str, Callable[[], object]] = {}
    for name, penalty in (("", None), (", spectral", Spectral())):
        model, plain = _model(x), _plain(_model(x))
        recipe, directions = Recipe(penalty=penalty), None
        if penalty is not None:
            directions = principal_directions(penalty, model, x, image_covariance(x))
        step = step_function(model, adam(model, recipe, False), recipe, False)
        theirs_adam = torch.optim.Adam(plain.parameters())

        def ours(step: Any = step, directions: Tensor | None = directions) -> object:
            return step(x, y, directions)

        def theirs(plain: Any = plain, optimizer: Any = theirs_adam, directions: Tensor | None = directions) -> None:
            h = plain[0](x)
            loss = cross_entropy(plain[2](plain[1](h)), y)
            if directions is not None:
                loss = loss + _spectral_by_hand(h, directions)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        functions |= {f"ours{name}": ours, f"autograd by hand{name}": theirs}
    return interleaved(functions, rounds=3, warmup=1, clock=time.process_time)


def _spectral_by_hand(h: Tensor, directions: Tensor) -> Tensor:
    """The penalty as its definition says: the diagonal of S^T C S."""
    covariance = torch.cov(h.T)
    eigenvalues = torch.diagonal(directions.T @ covariance @ directions)
    ratio = eigenvalues * torch.arange(1, len(eigenvalues) + 1) - 1
    return (ratio.square() + ratio.relu()).sum() / len(ratio)


def local_rule(x: Tensor) -> Timed:
    """Seconds per step of the local rule."""
    params = kh_params.PAPER_CIFAR10
    w = local_learning.init(params, x.shape[1], torch.Generator().manual_seed(0))
    m = local_learning.metric(w, params.p)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: local_learning.step(w, m, x, params, 1e-9),
        "its product": lambda: products.product(x, m),
        "dense matrices": lambda: local_learning.step_plain(w, x, params, 1e-9),
    }
    return interleaved(functions, rounds=3, warmup=1, clock=time.process_time)


def _model(x: Tensor) -> TwoLayer:
    return models.init(TwoLayer(x.shape[1], UNITS, 10), torch.Generator().manual_seed(0)).eval()


def _plain(model: TwoLayer) -> nn.Sequential:
    """The same network as one writes it first."""
    layers = nn.Linear(model.hidden.shape[1], UNITS, bias=False), nn.ReLU(), nn.Linear(UNITS, 10)
    layers[0].weight.data, layers[2].weight.data = model.hidden.data.clone(), model.readout.data.clone()
    layers[2].bias.data = model.bias.data.clone()
    return nn.Sequential(*layers).eval()


def table(found: Mapping[str, Any]) -> str:
    """The table of the page: goal and figure of each comparison; what was not installed says so."""
    lines = ["| step | beside | goal | measured |", "|---|---|---|---|"]
    for title, part, ours, other, goal in GOALS:
        seconds = found["seconds"][part]
        figure = f"{seconds[ours] / seconds[other]:.2f}" if other in seconds else "not installed"
        lines.append(f"| {title} | {other.split(',')[0]} | at most {goal:g} | {figure} |")
    sizes = f"{found['images']} images of {found['inputs']} pixels, {UNITS} units"
    return "\n".join(lines) + f"\n\n{page.conditions(found)}; {sizes}.\n"


def main() -> None:
    """Measure, print, and write the file and the page's table."""
    data = load("photo-patches").train.first(IMAGES)
    x = unit_lp(data)
    y = _model(x)(x).argmax(1)
    timed = {"pgd": pgd(x, y), "training": steps(x, torch.tensor(data.labels)), "local rule": local_rule(x)}
    for part, seconds in timed.items():
        report(f"{part}, {len(x)} images, 3072 -> {UNITS}", seconds, "ours")
    found = {
        "environment": provenance.environment(),
        "images": len(x),
        "inputs": x.shape[1],
        "seconds": {part: {k: min(v) for k, v in seconds.items()} for part, seconds in timed.items()},
    }
    write_json(FILE, found)
    page.write("peers", table(found))


if __name__ == "__main__":
    main()
