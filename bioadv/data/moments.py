"""Mean and covariance of many rows, batch by batch: the one place where the package sums them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from bioadv.data import checks

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (H,) and covariance (H, H) of ``count`` rows, divisor count - 1."""

    count: int
    mean: Tensor
    covariance: Tensor


def outer(g: Tensor, x: Tensor) -> Tensor:
    """``g^T x``, by torch's own library."""
    return g.T @ x


@torch.no_grad()
def of_batches(parts: Iterable[Tensor], product: Callable[[Tensor, Tensor], Tensor] = outer) -> Moments:
    """Mean and covariance of batches of rows (B, H), in one pass and in the precision of the rows.

    Each batch is centred by its own mean before anything is squared, and batches are merged by the update of Chan,
    Golub and LeVeque (1983), so that a mean that is large against the spread costs no digits.

    product: (g, x) -> ``g^T x``; :func:`bioadv.network.products.outer` is the fastest for long rows. Raises
    ``ValueError`` if there are fewer than two rows, for rows of different lengths, and for numbers that are not real.
    """
    count, mean, scatter = 0, torch.zeros(0), torch.zeros(0)
    for part in parts:
        if not len(part):
            continue
        checks.floating(rows=part)
        if count and part.shape[1:] != mean.shape:
            raise ValueError(f"rows of {len(mean)} and of {part.shape[1:].numel()} numbers; give rows of one length")
        centre = part.mean(0)
        here = part - centre
        if count == 0:
            mean, scatter = torch.zeros_like(centre), centre.new_zeros(len(centre), len(centre))
        step, total = centre - mean, count + len(here)
        scatter.add_(product(here, here)).addr_(step, step, alpha=count * len(here) / total)
        mean = mean + step * (len(here) / total)
        count = total
    if count < 2:
        raise ValueError(f"{count} rows were given; a covariance needs at least 2")
    return Moments(count, mean, scatter / (count - 1))
