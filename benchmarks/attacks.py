"""Critical perturbations at the paper's size: search beside the grid on every image, noise beside fresh products.

With CIFAR-10 at hand and a finished run (``BIOADV_DATA_DIR``, ``results/cifar10/kh``) these are used, else photo
patches and random features. The grid on every image takes about ten minutes for 500 images on two cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.timing import interleaved, report
from bioadv.data import datasets
from bioadv.lab import runs
from bioadv.measure import attacks, critical, gradient_ascent, noise
from bioadv.measure.critical import GRID, NOISE_GRID
from bioadv.network import models
from bioadv.network.models import TwoLayer

IMAGES = int(os.environ.get("BIOADV_BENCHMARK_IMAGES", "500"))


def _subject() -> tuple[str, TwoLayer, torch.Tensor, torch.Tensor]:
    folder = Path("results/cifar10/kh/seed-0")
    if datasets.DATA_DIR_VARIABLE in os.environ and (folder / "model.safetensors").is_file():
        data, model, name = datasets.load("cifar10", download=False), runs.load_model(folder), "KH on CIFAR-10"
        x, y = datasets.unit_lp(data.test), torch.tensor(data.test.labels)
    else:
        data, name = datasets.load(), "random features on photo patches"
        x = datasets.unit_lp(data.test)
        model = models.init(TwoLayer(x.shape[1], 2000, 10), torch.Generator().manual_seed(0)).eval()
        y = model(x).argmax(1)
    right = critical.correct(model, x, y)
    return name, model, x[right], y[right]


def _by_autograd(model: TwoLayer, x: torch.Tensor, y: torch.Tensor, eps: float) -> torch.Tensor:
    """PGD as coded by the authors, the gradient by automatic differentiation through inputs and weights."""
    moved = x.clone()
    for _ in range(20):
        inputs = moved.clone().requires_grad_()
        cross_entropy(model(inputs), y).backward()
        assert inputs.grad is not None
        moved = x + (moved + 0.1 * eps * inputs.grad.sign() - x).clamp(-eps, eps)
    return moved.clamp(0, 1)


def gradients(model: TwoLayer, x: torch.Tensor, y: torch.Tensor) -> None:
    functions: dict[str, Callable[[], object]] = {
        "PGD-20, closed gradient": lambda: gradient_ascent.pgd(model, x, y, 2e-3),
        "PGD-20, autograd": lambda: _by_autograd(model, x, y, 2e-3),
        "forty hidden products": lambda: [x @ model.hidden.detach().T for _ in range(40)],
    }
    report(f"one strength, {len(x)} images", interleaved(functions, rounds=3, warmup=1), "PGD-20, closed gradient")


def search(model: TwoLayer, x: torch.Tensor, y: torch.Tensor) -> None:
    start = time.perf_counter()
    near = critical.search(model, x, y, critical.fgsm(model, x, y), near=critical.guess(model, x, y)).index
    fast = critical.search(model, x, y, critical.pgd(model, x, y), near=near.clip(0, len(GRID) - 1))
    middle = time.perf_counter()
    slow = critical.brute_force(model, x, y, critical.pgd(model, x, y), progress="every strength")
    seconds, reference = middle - start, time.perf_counter() - middle
    print(f"\ncritical strengths of PGD-20 on {len(GRID)} strengths, {len(x)} images, FGSM for the start included")
    print(f"search {seconds:.1f} s, grid on every image {reference:.1f} s: {reference / seconds:.1f} times cheaper")
    print(f"strengths tried per image {fast.attacks:.2f}; same index {(fast.index == slow.index).mean():.2%}")
    for i in np.flatnonzero(fast.index != slow.index):
        print(f"  image {i}: first failure at index {slow.index[i]}, search found {fast.index[i]}")


def whole_set(model: TwoLayer, x: torch.Tensor, y: torch.Tensor) -> None:
    start = time.perf_counter()
    near = critical.search(model, x, y, critical.fgsm(model, x, y), near=critical.guess(model, x, y)).index
    critical.search(model, x, y, critical.pgd(model, x, y), near=near.clip(0, len(GRID) - 1))
    print(f"FGSM and PGD-20 on all {len(x)} correct test images: {time.perf_counter() - start:.0f} s")


@torch.no_grad()
def noise_sweep(model: TwoLayer, x: torch.Tensor, y: torch.Tensor) -> None:
    for power in (1.0, 4.5):
        other = TwoLayer(x.shape[1], len(model.hidden), len(model.bias), power).eval()
        other.load_state_dict(model.state_dict())
        labels = torch.cat([other(part).argmax(1) for part in x.split(1000)])
        generator = torch.Generator().manual_seed(critical.SEED)
        start, cpu = time.perf_counter(), time.process_time()
        draws = noise.pool(other, generator)
        noise.sweep(other, x, labels, draws, generator)
        seconds, busy = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        for eps in NOISE_GRID[::100]:
            for part in x.split(1000):
                attacks.wrong(other, attacks.gaussian(part, eps, generator), labels[: len(part)])
        plain = (time.perf_counter() - start) * 100
        print(
            f"noise, n = {power:g}, {len(NOISE_GRID)} strengths, {len(x)} images: {seconds:.1f} s with the pool "
            f"({busy:.1f} s of processor), "
            f"{plain:.0f} s with fresh noise (from 4 strengths): {plain / seconds:.0f} times cheaper"
        )


def main() -> None:
    name, model, x, y = _subject()
    print(f"\nattacks: {name}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    many = 5000 // len(x) + 1
    noise_sweep(model, x.repeat(many, 1)[:5000], y.repeat(many)[:5000])
    gradients(model, x[:1000], y[:1000])
    search(model, x[:IMAGES], y[:IMAGES])
    whole_set(model, x, y)


if __name__ == "__main__":
    main()
