"""Removing hidden units by the variance of their synapses.

The paper sets the rows of units whose weights vary too much to zero. Symbols: synapses W (H, D), one row per unit.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor
PUBLISHED_THRESHOLD = 0.0015  # authors' code for the ICLR submission, for units of L3 norm 1 on CIFAR-10,
PUBLISHED_INPUTS = 3072  # that is, for 32 x 32 x 3 inputs


def variances(w: Tensor) -> Tensor:
    """Variance of each unit's synapses, (H,), with divisor D - 1."""
    return w.var(1)


def published_threshold(inputs: int) -> float:
    """The published threshold for D inputs: weights of a unit of L3 norm 1 go as D^(-1/3), variances as D^(-2/3)."""
    return PUBLISHED_THRESHOLD * (PUBLISHED_INPUTS / inputs) ** (2 / 3)


def above_threshold(w: Tensor, threshold: float | None = None) -> Tensor:
    """Which units of W (H, D) a fixed threshold prunes, (H,) bool: those of larger variance (default: as published).

    Raises ``ValueError`` if the threshold is not positive or would prune every unit.
    """
    threshold = published_threshold(w.shape[1]) if threshold is None else threshold
    if not threshold > 0:
        raise ValueError(f"threshold = {threshold}; give a variance > 0 (the paper: {PUBLISHED_THRESHOLD})")
    pruned = variances(w) > threshold
    if pruned.all():
        smallest = float(variances(w).min())
        raise ValueError(f"threshold = {threshold} prunes all {len(w)} units; give one above {smallest:.3g}")
    return pruned


def prune(w: Tensor, pruned: Tensor) -> Tensor:
    """A copy of W (H, D) with the rows of pruned units, (H,) bool, set to zero; the layer keeps its size, as there."""
    return w.masked_fill(pruned[:, None], 0.0)
