"""Kinds of hidden layers: where the weights M (H, D) of a network come from before training with labels begins.

A kind is a function of what is :class:`Given` and says whether backpropagation goes on to train its weights. The study
names its kinds in ``HIDDEN`` of :mod:`bioadv.lab.experiments`; a new one is a function like those below and a line
there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from bioadv.network.local_learning import metric

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Given:
    """What hidden weights can be made from, on the CPU.

    images: (N, D) training images of unit L^p norm, without those held out; start: (H, D) the Gaussian weights that all
    models of a seed share; generator: for what else is drawn, a stream of its own; p: order of the norm; layer: (H, D)
    synapses of the trained KH layer of the same seed, pruned where the experiment says so, or None.
    """

    images: Tensor = field(repr=False)
    start: Tensor = field(repr=False)
    generator: torch.Generator
    p: float
    layer: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Kind:
    """A kind of hidden layer.

    weights: the function that makes them, (H, D); trained: whether backpropagation goes on from there, else only the
    readout learns; layer: whether it is made from a trained KH layer.
    """

    weights: Callable[[Given], Tensor]
    trained: bool = False
    layer: bool = False


def shared(given: Given) -> Tensor:
    """The random weights that all models of a seed start from."""
    return given.start


def local(given: Given) -> Tensor:
    """The metric of the KH layer, ``M = W |W|^(p-2)``."""
    assert given.layer is not None  # Kind.layer
    return metric(given.layer, given.p)


def weights(kind: Kind, given: Given) -> Tensor:
    """The weights (H, D) of a kind; ``ValueError`` if they have another shape than the network's or are not finite."""
    made = kind.weights(given)
    if made.shape != given.start.shape or not bool(torch.isfinite(made).all()):
        raise ValueError(
            f"{kind.weights.__name__} made weights of shape {tuple(made.shape)}, or not finite ones; "
            f"make finite ones of shape {tuple(given.start.shape)}, hidden units times pixels"
        )
    return made
