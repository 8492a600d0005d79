"""Supervised steps at the paper's size, beside the products of the hidden layer that they cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.network import models, spectral_penalty, steps
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, LatentJacobian, LogitJacobian, Penalty
from bioadv.network.spectral_penalty import Spectral

STEPS_PER_EPOCH = 50  # CIFAR-10 in batches of 1000; the once-per-epoch part of the spectral penalty is spread over them


def _step(penalty: Penalty | None, x: torch.Tensor, y: torch.Tensor, sigma: torch.Tensor) -> Callable[[], object]:
    """One training step on its own copy of the model."""
    model = models.init(TwoLayer(x.shape[1], 2000, 10), torch.Generator().manual_seed(0))
    recipe = Recipe(penalty=penalty)
    step = steps.step_function(model, steps.adam(model, recipe, False), recipe, False)
    directions = None
    if isinstance(penalty, Spectral):
        directions = spectral_penalty.principal_directions(penalty, model, x, sigma).to(x.dtype)
    return lambda: step(x, y, directions)


def main() -> None:
    """Print each step as a multiple of two hidden products, in float32 and with bfloat16 products."""
    data = load("photo-patches").train.first(1000)
    x32, y = unit_lp(data), torch.tensor(data.labels)
    sigma = spectral_penalty.image_covariance(x32)
    for dtype in (torch.float32, torch.bfloat16):
        x = x32.to(dtype)
        w = torch.randn(2000, x.shape[1])

        def products(x: torch.Tensor = x, w: torch.Tensor = w) -> torch.Tensor:
            return (x @ w.to(x.dtype).T).T @ x

        spectral = Spectral()
        model = models.init(TwoLayer(x.shape[1], 2000, 10), torch.Generator().manual_seed(0))
        functions: dict[str, Callable[[], object]] = {
            "two hidden products": products,
            "BP step": _step(None, x, y, sigma),
            "L2 step": _step(L2(), x, y, sigma),
            "latent Jacobian step": _step(LatentJacobian(), x, y, sigma),
            "logit Jacobian step": _step(LogitJacobian(), x, y, sigma),
            "spectral step": _step(spectral, x, y, sigma),
            "eigenbasis, once per epoch": partial(spectral_penalty.principal_directions, spectral, model, x32, sigma),
        }
        seconds = interleaved(functions, rounds=15)
        seconds["spectral step with its share"] = [
            step + basis / STEPS_PER_EPOCH
            for step, basis in zip(seconds["spectral step"], seconds["eigenbasis, once per epoch"], strict=True)
        ]
        title = f"supervised step, 1000 x 3072 -> 2000 -> 10, {str(dtype).removeprefix('torch.')} products"
        report(f"{title}, against two products", seconds, "two hidden products")
        report(f"{title}, against the BP step", seconds, "BP step")


if __name__ == "__main__":
    main()
