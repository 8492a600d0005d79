"""Could the spectral penalty be cheaper? Its principal directions taken less often, or from bfloat16 products.

``python -m benchmarks spectral`` writes ``benchmarks/spectral.json`` and its part of ``book/cost.md``. A small network
on CIFAR-10 with as many steps per epoch, and as many units per image of a batch, as the paper's; the penalty as stated.
Directions may be saved on if the penalty and the exponent that come out differ by no more than between two seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks import page
from bioadv.data.datasets import load, unit_lp
from bioadv.data.files import write_json
from bioadv.data.moments import Moments
from bioadv.lab import provenance
from bioadv.measure import powerlaw, spectra
from bioadv.network import models, products, spectral_penalty, training
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.spectral_penalty import Spectral, image_covariance

Tensor = torch.Tensor
Directions = Callable[..., Tensor | None]
FILE = Path("benchmarks/spectral.json")
IMAGES, UNITS, BATCH, EPOCHS, WINDOW = 5000, 200, 100, 15, (11, 100)
EACH = Spectral.each_epoch
WAYS = ("every epoch", "every second epoch", "every fifth epoch", "every epoch, bfloat16")
OTHER = "every epoch, another seed"


def every(count: int) -> Directions:
    """Directions that stay for so many epochs."""
    kept: list[Tensor] = []

    def directions(*given: Any) -> Tensor:
        if len(kept) % count == 0:
            found = EACH(*given)
            assert found is not None
            kept.append(found)
        else:
            kept.append(kept[-1])
        return kept[-1]

    return directions


def rounded(penalty: Spectral, model: TwoLayer, x: Tensor, last: Tensor, known: Tensor) -> Tensor:
    """Directions of a covariance M S M^T of the latent that is computed in bfloat16."""
    m = model.hidden.detach().bfloat16()
    moments = products.product(products.product(m, known.bfloat16()), m).float()
    return torch.linalg.eigh((moments + moments.T) / 2)[1].flip(1).to(x.dtype)


def trained(x: Tensor, y: Tensor, of: Moments, seed: int, directions: Directions) -> dict[str, Any]:
    """The penalty of each epoch; at the end the penalty along directions of its own, and the exponent."""
    model = models.init(TwoLayer(x.shape[1], UNITS, 10), torch.Generator().manual_seed(seed))
    recipe, order = Recipe("constant", Spectral(), EPOCHS, BATCH), torch.Generator().manual_seed(10_000 + seed)
    with mock.patch.object(Spectral, "each_epoch", directions):
        log = training.fit(model, x.bfloat16(), y, recipe, order, progress=False).log
    own = spectral_penalty.principal_directions(Spectral(), model, x, image_covariance(x))
    with torch.no_grad():
        value = torch.stack([spectral_penalty.spectral(Spectral(), model.before(part), own) for part in x.split(BATCH)])
    values = spectra.eigenspectrum(spectra.linear_moments(of, model.hidden.detach())).numpy()
    return {
        "penalty in training": log["penalty"].tolist(),
        "penalty": float(value.mean()),
        "exponent": powerlaw.fit(values, WINDOW).alpha,
    }


def table(found: Mapping[str, Any]) -> str:
    """What the page shows."""
    runs = found["runs"]
    lines = ["| directions | penalty at the end | exponent |", "|---|---|---|"]
    lines += [f"| {way} | {runs[way]['penalty']:.3f} | {runs[way]['exponent']:.3f} |" for way in (*WAYS, OTHER)]
    sizes = f"{UNITS} units, {IMAGES} images, {EPOCHS} epochs, exponent at ranks {WINDOW[0]} to {WINDOW[1]}"
    return "\n".join(lines) + f"\n\n{sizes}; {page.conditions(found)}.\n"


def main() -> None:
    """Train, print, and write the file and its part of the page."""
    torch.set_flush_denormal(True)
    data = load("cifar10")
    x, y = unit_lp(data.train.first(IMAGES)), torch.tensor(data.train.labels[:IMAGES])
    of = spectra.moments(unit_lp(data.test.first(2000)))
    directions: tuple[Directions, ...] = (EACH, every(2), every(5), rounded)
    ways = dict(zip(WAYS, directions, strict=True))
    runs = {}
    for name, seed in (*((way, 0) for way in WAYS), (OTHER, 1)):
        runs[name] = trained(x, y, of, seed, ways.get(name, EACH))
        print(name, runs[name], flush=True)
    found = {"environment": provenance.environment(), "runs": runs}
    write_json(FILE, found)
    page.write("spectral", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
