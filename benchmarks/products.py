"""Each form of a large product in each library, at the paper's size: what the rule for them rests on.

With other work on the machine compare the minima.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.timing import interleaved, report
from bioadv.network import products

IMAGES, INPUTS, UNITS = int(os.environ.get("BIOADV_BENCHMARK_IMAGES", "1000")), 3072, 2000


def _by(library: str, function: Callable[..., object], *operands: torch.Tensor) -> object:
    chosen, products.library = products.library, lambda: library  # type: ignore[assignment]
    try:
        return function(*operands)
    finally:
        products.library = chosen


def main() -> None:
    """Print milliseconds of each, and ratios to torch's own."""
    generator = torch.Generator().manual_seed(0)
    print(f"\nproducts: the rule chooses {products.library()} here")
    for dtype in (torch.float32, torch.float64):
        x, m, g = (
            torch.randn(shape, generator=generator).to(dtype)
            for shape in ((IMAGES, INPUTS), (UNITS, INPUTS), (IMAGES, UNITS))
        )
        forms: dict[str, tuple[Callable[..., object], torch.Tensor, torch.Tensor]] = {
            "x m^T": (products.product, x, m),
            "g m": (products.against, g, m),
            "g^T x": (products.outer, g, x),
            "g^T g": (products.outer, g, g),
        }
        libraries = [name for name in products.LIBRARIES if dtype == torch.float32 or name != "onednn"]
        for form, (function, *operands) in forms.items():
            functions = {name: partial(_by, name, function, *operands) for name in libraries}
            report(f"{form}, {str(dtype).removeprefix('torch.')}", interleaved(functions, 5, 1), "torch")


if __name__ == "__main__":
    main()
