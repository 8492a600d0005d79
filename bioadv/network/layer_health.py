"""Whether a layer that learned by the Krotov-Hopfield rule is alive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bioadv.data import checks
from bioadv.network.kh_params import KHParams
from bioadv.network.local_learning import metric, responses

Tensor = torch.Tensor


@dataclass(frozen=True)
class Health:
    """Whether a layer is alive. Norm convergence alone proves nothing: a layer with one winner converges too.

    norms (H,): ||w_j||_p; wins (H,): images of the set on which the unit ranks first; alive (H,) bool: the response is
    positive on at least one image, so a ReLU passes something on; mean_weight (H,).
    """

    norms: np.ndarray
    wins: np.ndarray
    alive: np.ndarray
    mean_weight: np.ndarray
    radius: float

    @property
    def converged(self) -> float:
        """Fraction of units with | ||w_j||_p - R | <= 0.01, the authors' tolerance (they accept above 0.9)."""
        return float((np.abs(self.norms - self.radius) <= 1e-2).mean())

    @property
    def live(self) -> float:
        """Fraction of units that respond to at least one image."""
        return float(self.alive.mean())

    @property
    def winning(self) -> float:
        """Fraction of units that win at least one image."""
        return float((self.wins > 0).mean())


def health(w: Tensor, x: Tensor, params: KHParams, batch: int = 1000) -> Health:
    """Norms, winners and dead units of a layer w (H, D) on images x (N, D).

    Raises ``ValueError`` for synapses or images that do not fit each other or hold no numbers.
    """
    if hasattr(w, "synapses"):
        raise ValueError(f"w is a {type(w).__name__}; give its synapses")
    checks.floating(w=w, x=x)
    checks.whole(batch=batch)
    if w.ndim != 2 or x.ndim != 2 or w.shape[1] != x.shape[1] or not len(x) or batch < 1:
        raise ValueError(
            f"w has shape {tuple(w.shape)}, x {tuple(x.shape)}, batch = {batch}; give synapses (H, D), images (N, D) "
            "and at least one image at once"
        )
    if not bool(torch.isfinite(w).all() & torch.isfinite(x).all()):
        raise ValueError("w or x holds NaN or infinity; train the layer with a lower rate, or look at the images")
    m = metric(w, params.p)
    wins = torch.zeros(len(w), dtype=torch.int64, device=w.device)
    highest = torch.full((len(w),), -torch.inf, dtype=w.dtype, device=w.device)
    for part in x.split(batch):
        h = responses(part.to(w), m)
        wins += torch.bincount(h.argmax(1), minlength=len(w))
        highest = torch.maximum(highest, h.amax(0))
    norms = torch.linalg.vector_norm(w, params.p, dim=1)
    return Health(
        norms=norms.numpy(force=True),
        wins=wins.numpy(force=True),
        alive=(highest > 0).numpy(force=True),
        mean_weight=w.mean(1).numpy(force=True),
        radius=params.radius,
    )
