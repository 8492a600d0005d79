"""What an experiment of the study is: a kind of hidden layer, a recipe, an activation; and what it is called.

``HIDDEN`` is the registry of kinds of hidden layers, ``GROUPS`` and ``SETS`` are what a model can belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bioadv.lab.looks import Look
from bioadv.network import controls, hidden
from bioadv.network.hidden import Kind
from bioadv.network.recipes import Recipe

GROUPS = ("published", "control", "frontier", "corrected")
# What shows or makes a chosen few of the models; each model says to which of these it belongs, see ``study.members``.
SETS = {
    "paper": "figures and tables at the paper's scale",
    "live": "trained in the live cells of chapters",
    "few": "figures with room for three",
    "penalties": "trained in the live cells of the chapter on regularization",
    "explorer": "run in the explorer's page",
    "readouts": "figures of readouts at small scale",
    "small": "trained and measured at small scale, see bioadv.lab.small_paths",
    "paths": "all readouts at the paper's scale, once it is trained; layers that nobody trains have them anyway",
}
EVERYWHERE = frozenset(SETS)

# Kinds of hidden layers. Only the function of the kind that a model has is hashed with its results, so that a line more
# makes nothing stale.
HIDDEN = {
    "backprop": Kind(hidden.shared, trained=True),
    "random": Kind(hidden.shared),
    "local": Kind(hidden.local, layer=True),
    "exemplars": Kind(controls.exemplars, layer=True),
    "gaussian": Kind(controls.gaussian, layer=True),
    "gaussian-centred": Kind(controls.gaussian_centred, layer=True),
    "kmeans": Kind(controls.kmeans, layer=True),
    "pca": Kind(controls.pca, layer=True),
    "white": Kind(controls.white, layer=True),
}


@dataclass(frozen=True)
class Experiment:
    """A model of the study.

    title, look, group: what it is called, how it is drawn, and one of ``GROUPS``; hidden: the kind of its hidden layer,
    a key of ``HIDDEN``; recipe: at the paper's scale; power: q of ReLU^q; pruned: whether units of the KH layer above
    the variance threshold are removed; held_out: share of the training images kept for validation; batch_norm: whether
    it stands before the activation; shown: to which of ``SETS`` it belongs.

    Raises ``ValueError`` for an unknown group, kind or set, for a layer to be pruned where there is none, a penalty on
    hidden weights that do not learn, a power below 1 and a share outside [0, 1).
    """

    title: str = field(metadata={"parameter": False})
    look: Look = field(metadata={"parameter": False})
    group: str = field(metadata={"parameter": False})
    hidden: str
    recipe: Recipe
    power: float = 1.0
    pruned: bool = False
    held_out: float = 0.0
    batch_norm: bool = False
    shown: frozenset[str] = field(default=frozenset(), metadata={"parameter": False})

    def __post_init__(self) -> None:
        for name in self.shown - EVERYWHERE:
            raise ValueError(f"{self.title}: shown in {name!r}, which is not known; choose from {', '.join(SETS)}")
        for name, value, known in (("group", self.group, GROUPS), ("hidden", self.hidden, HIDDEN)):
            if value not in known:
                raise ValueError(f"{self.title}: {name} = {value!r} is not known; choose from {', '.join(known)}")
        if self.pruned and not self.kind.layer:
            raise ValueError(
                f"{self.title}: pruned = True, but {self.hidden!r} is not made from a KH layer; leave it out"
            )
        if not self.kind.trained and not self.recipe.term.is_decay:
            raise ValueError(
                f"{self.title}: penalty = {type(self.recipe.penalty).__name__}, but of hidden = {self.hidden!r} only "
                "the readout learns; give a weight decay, or None"
            )
        if not self.power >= 1:
            raise ValueError(f"{self.title}: power = {self.power}; give q >= 1 (the paper uses 1 and 4.5)")
        if not 0 <= self.held_out < 1:
            raise ValueError(
                f"{self.title}: held_out = {self.held_out}; give a share of the images, 0 or more, below 1"
            )

    @property
    def kind(self) -> Kind:
        """The kind of its hidden layer."""
        return HIDDEN[self.hidden]

    @property
    def code(self) -> tuple[Callable[..., Any], ...]:
        """What makes its hidden weights, and its penalty, if it has one: of all there are, only these are hashed."""
        penalty = self.recipe.penalty
        return (self.kind.weights, *((type(penalty),) if penalty else ()))
