"""Penalties on a two-layer network: as coded by the authors, and as stated by the papers they come from.

A penalty is a frozen dataclass of its constants that says, as methods of :class:`Penalty`, what it does to a step of
training. Three kinds exist. Those that are a weight decay (L2, and the Jacobian term as coded) are applied inside Adam,
where they cost nothing. The Jacobian of a ReLU latent is a decay with its own strength for each unit and batch. The
others are added to the loss. Symbols as in :mod:`bioadv.network.models`; f' is the slope of the activation, ||.|| the
Frobenius norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from bioadv.data import checks
from bioadv.network.jacobians import latent_jacobian, logit_jacobian
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor


class Penalty:
    """What training asks of a penalty, which overrides what it has to say; by itself it does nothing.

    A frozen dataclass of its own is all that a new penalty needs: only the one that a model has is hashed with its
    results. varies: whether it needs variances over a batch, so that a batch of one image is refused; with_norm:
    whether it is defined for networks with batch norm; by_unit: whether it is a sum over units to which one with empty
    weights adds nothing, so that training may leave those out (:mod:`bioadv.network.idle`). A mean over units is none.
    """

    varies: ClassVar[bool] = False
    with_norm: ClassVar[bool] = True
    by_unit: ClassVar[bool] = False

    @property
    def is_decay(self) -> bool:
        """Whether it adds nothing to the loss of a batch, so that it can be asked of a readout alone."""
        return all(getattr(type(self), name) is getattr(Penalty, name) for name in ("row_decay", "added"))

    def decay(self) -> tuple[float, float]:
        """Weight decay that Adam adds to the gradient, (of the hidden weights, of readout and bias).

        A term c ||theta||^2 of the loss has the gradient 2 c theta, so the decay is 2 c.
        """
        return 0.0, 0.0

    @torch.no_grad()
    def row_decay(self, model: TwoLayer, h: Tensor) -> Tensor | None:
        """Weight decay (H,) of each unit that stands for :meth:`added`, for the latent h (B, H) of a batch, or None."""
        return None

    def added(self, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
        """What is added to the loss of a batch with the latent h (B, H), differentiable.

        directions: what :meth:`each_epoch` gave for this epoch.
        """
        return h.new_zeros(())

    def once(self, x: Tensor) -> Tensor | None:
        """What is computed from the training images x (N, D) before training begins."""
        return None

    def each_epoch(self, model: TwoLayer, x: Tensor, last: Tensor, known: Tensor | None) -> Tensor | None:
        """What is computed before each epoch: from all images x, which of them its last batch has, and :meth:`once`.

        Raises ``FloatingPointError`` where the network has left the finite numbers.
        """
        return None


class NoPenalty(Penalty):
    """What a training without a penalty has."""

    by_unit = True


@dataclass(frozen=True)
class L2(Penalty):
    """strength * ||theta||^2 over all parameters, readout weight and bias included (authors' code, 5e-4)."""

    strength: float = 5e-4
    by_unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)

    def decay(self) -> tuple[float, float]:
        """Of all parameters alike."""
        return 2 * self.strength, 2 * self.strength


@dataclass(frozen=True)
class JacobianPublished(Penalty):
    """The authors' Jacobian term by its expectation: strength * (1 + 2 / B) / 3 * ||dh/dx||^2, which is ||M||^2.

    It acts on h, before the activation, where the Jacobian does not depend on the image. The factor comes from a slip:
    of three random projections the second and third are normalised over the whole batch.
    """

    strength: float = 1e-3
    projections: int = 3
    batch: int = 1000
    by_unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.whole(projections=self.projections, batch=self.batch)
        checks.positive(strength=self.strength, projections=self.projections, batch=self.batch)

    @property
    def factor(self) -> float:
        """Mean of the estimator over ||M||^2; 0.334 for three projections and batches of 1000."""
        return (1 + (self.projections - 1) / self.batch) / self.projections

    def decay(self) -> tuple[float, float]:
        """Of the hidden weights."""
        return 2 * self.strength * self.factor, 0.0


@dataclass(frozen=True)
class LatentJacobian(Penalty):
    """strength * mean over images of ||da/dx||^2, the Jacobian of the latent after the activation, exactly."""

    strength: float = 1e-3
    with_norm: ClassVar[bool] = False
    by_unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)

    @torch.no_grad()
    def row_decay(self, model: TwoLayer, h: Tensor) -> Tensor | None:
        """For a ReLU network (q = 1): f' is 0 or 1 and has no slope of its own.

        So the gradient is 2 * strength * (share of images with h_j > 0) * m_j.
        """
        return 2 * self.strength / len(h) * (h > 0).sum(0) if model.power == 1 else None

    def added(self, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
        """By the closed form."""
        return self.strength * latent_jacobian(model.hidden, h, model.power)


@dataclass(frozen=True)
class LogitJacobian(Penalty):
    """strength / 2 * mean over images of ||dz/dx||^2, exactly (Hoffman, Roberts, Yaida 2019; they use 0.01)."""

    strength: float = 0.01
    with_norm: ClassVar[bool] = False
    by_unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)

    def added(self, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
        """By the closed form."""
        return self.strength / 2 * logit_jacobian(model.hidden, model.readout, h, model.power)


def decay(penalty: Penalty | None) -> tuple[float, float]:
    """:meth:`Penalty.decay`; (0, 0) without a penalty."""
    return (penalty or NoPenalty()).decay()


@torch.no_grad()
def decay_value(penalty: Penalty | None, model: TwoLayer) -> float:
    """Value of a penalty that is a weight decay; 0 for the others."""
    hidden, rest = decay(penalty)
    value = hidden / 2 * model.hidden.square().sum()
    return float(value + rest / 2 * (model.readout.square().sum() + model.bias.square().sum()))


def penalty(kind: Penalty | None, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
    """Value of a penalty that is added to the loss, differentiable, for the latent h (B, H) of a batch; 0 for a decay.

    directions: (H, H), from :func:`bioadv.network.spectral_penalty.principal_directions`, for a spectral penalty only.
    """
    return (kind or NoPenalty()).added(model, h, directions)
