"""The registry of the study: every model of the paper, its controls, and corrected variants; and their sizes.

Nothing is trained here, see :mod:`bioadv.lab.runner`. An experiment's parameters are kept in the manifest of each run
and compared with those of today; what it is called and how it is drawn are not parameters and may change at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bioadv.data.datasets import Dataset
from bioadv.lab.looks import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, Look
from bioadv.network import controls, hidden, local_learning, training
from bioadv.network.hidden import Kind
from bioadv.network.local_learning import KHParams
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian, Penalty, Spectral
from bioadv.network.training import Recipe

LAYER = "kh-layer"
PIXELS = "pixels"  # stands for a model: the images themselves, every pixel a unit
KH_POWER = local_learning.PAPER_POWER
KH_ALPHA = 2.62  # exponent of the authors' KH layer, target of their SpecReg-KH (authors' code at e1b82cd)
EFFORT_VARIABLE = "BIOADV_EFFORT"
GROUPS = ("published", "control", "frontier", "corrected")
# What shows or makes a chosen few of the models; each model says to which of these it belongs, see :func:`members`.
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
MOST, SMALL = EVERYWHERE - {"few"}, frozenset({"small"})
LIVE = frozenset({"penalties"})

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
    the variance threshold are removed; held_out: share of the training images kept for validation; shown: to which of
    ``SETS`` it belongs.

    Raises ``ValueError`` for an unknown group, kind or set, and for a layer to be pruned where there is none.
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


def _published(title: str, look: Look, hidden: str, recipe: Recipe, **more: Any) -> Experiment:
    return Experiment(title, look, "published", hidden, recipe, **more)


def _control(title: str, look: Look, hidden: str, schedule: str = "constant", **more: Any) -> Experiment:
    return Experiment(title, look, "control", hidden, Recipe(schedule), **more)


def _untrained(kind: str, title: str, colour: str, markers: str, *shown: frozenset[str]) -> dict[str, Experiment]:
    """The two models on a hidden layer that nobody trained: with the power of KH, and with q = 1; shown: of each.

    Their rows are as long as those of KH *pruned*: a unit that never converged is a hundred times longer than the
    others, and behind the power of 4.5 it would be all that a readout sees.
    """
    nowhere = frozenset[str]()
    first, second = (*shown, nowhere, nowhere)[:2]
    powered, plain = f"{title}, q = 4.5", f"{title}, q = 1"
    return {
        kind: _control(powered, Look(powered, colour, markers[0]), kind, power=KH_POWER, pruned=True, shown=first),
        f"{kind}-linear": _control(plain, Look(plain, colour, markers[1], "dotted"), kind, pruned=True, shown=second),
    }


def _corrected(title: str, look: Look, recipe: Recipe, **more: Any) -> Experiment:
    return Experiment(title, look, "corrected", "backprop", recipe, held_out=0.1, **more)


def _frontier(
    title: str, look: Look, penalty: Penalty | None, schedule: str = "steps", batch_norm: bool = False
) -> Experiment:
    """A point of what a penalty can do at one strength, in a tenth of the epochs: several of them make a curve."""
    recipe = Recipe(schedule, penalty, epochs=training.PAPER_EPOCHS // 10)
    return Experiment(title, look, "frontier", "backprop", recipe, batch_norm=batch_norm)


EXPERIMENTS = {
    "kh": _published(
        "KH", Look("KH", BLUE, "o"), "local", Recipe("constant"), power=KH_POWER, pruned=True, shown=EVERYWHERE - LIVE
    ),
    "bp": _published("BP", Look("BP", RED, "s", "dashed"), "backprop", Recipe("steps"), shown=EVERYWHERE),
    "l2": _published("L2", Look("L2", GREEN, "D", "dotted"), "backprop", Recipe("steps", L2()), shown=MOST),
    "jreg": _published(
        "Jacobian",
        Look("Jacobian", ORANGE, "^", "dash-dot"),
        "backprop",
        Recipe("steps", JacobianPublished()),
        shown=MOST,
    ),
    "specreg": _published(
        "Spectral, as stated",
        Look("Spectral, as stated", INK, "v", "long"),
        "backprop",
        Recipe("decaying", Spectral()),
        shown=frozenset({"paper", "penalties"}),
    ),
    "specreg-logged": _published(
        "Spectral, as logged",
        Look("Spectral, as logged", SKY, "<", "double"),
        "backprop",
        Recipe("decaying", Spectral(alpha=KH_ALPHA, variant="logged")),
        shown=frozenset({"paper", "paths", "penalties"}),
    ),
    "specreg-kh": _published(
        "Spectral, KH target",
        Look("Spectral, KH target", GREY, ">", "dashed"),
        "backprop",
        Recipe("constant", Spectral(1e-3, KH_ALPHA, 10, "logged")),
    ),
    # With the schedule of the published SpecReg, whose row it should equal if that one's weights never moved.
    "random": _control(
        "random features", Look("random features", PURPLE, "X", "dense"), "random", "decaying", shown=EVERYWHERE
    ),
    "random-constant": _control(
        "random features, constant rate", Look("random, constant", PURPLE, "P", "dashed"), "random"
    ),
    "random-power": _control(
        "random features, q = 4.5",
        Look("random, q = 4.5", PURPLE, "p", "long"),
        "random",
        power=KH_POWER,
        shown=SMALL,
    ),
    "kh-linear": _control(
        "KH, q = 1",
        Look("KH, q = 1", BLUE, "h", "dashed"),
        "local",
        pruned=True,
        shown=frozenset({"small", "paths"}),
    ),
    "kh-unpruned": _control(
        "KH, not pruned",
        Look("KH, not pruned", BLUE, "8", "dotted"),
        "local",
        power=KH_POWER,
        shown=frozenset({"paths"}),
    ),
    # Layers like KH's in one thing each, without its learning; see bioadv.network.controls.
    **_untrained("exemplars", "images as weights", SKY, "oX", frozenset({"explorer", "readouts", "small"}), SMALL),
    **_untrained("gaussian", "Gaussian like images", GREY, "oX", frozenset({"readouts", "small"})),
    **_untrained("gaussian-centred", "Gaussian, no mean", GREY, "s*", SMALL),
    **_untrained("kmeans", "cluster centres", RED, "oX", SMALL),
    **_untrained("pca", "principal components", ORANGE, "oX", SMALL),
    **_untrained("white", "white, KH's lengths", PURPLE, "o*"),
    # KH, for as short as the others below.
    "short-kh": Experiment(
        "KH, short",
        Look("KH, short", BLUE, "1", "dashed"),
        "frontier",
        "local",
        Recipe("constant", epochs=training.PAPER_EPOCHS // 10),
        power=KH_POWER,
        pruned=True,
    ),
    # Strengths of L2 in units of the published one; the last but one is the control of the last.
    "short-l2-0": _frontier("L2 × 0", Look("L2 × 0", GREEN, "h", "dotted"), None),
    "short-l2-0.5": _frontier("L2 × 0.5", Look("L2 × 0.5", GREEN, "1", "dashed"), L2(2.5e-4)),
    "short-l2-1": _frontier("L2 × 1", Look("L2 × 1", GREEN, "2", "dash-dot"), L2(5e-4)),
    "short-l2-1.5": _frontier("L2 × 1.5", Look("L2 × 1.5", GREEN, "3", "long"), L2(7.5e-4)),
    "short-l2-2": _frontier("L2 × 2", Look("L2 × 2", GREEN, "4", "double"), L2(1e-3)),
    "short-l2-4": _frontier("L2 × 4", Look("L2 × 4", GREEN, "+", "dense"), L2(2e-3)),
    "short-latent": _frontier("Jacobian of the latent", Look("latent, short", ORANGE, "2", "dashed"), LatentJacobian()),
    "short-norm": _frontier("batch norm", Look("batch norm", GREY, "D", "dotted"), None, "decaying", batch_norm=True),
    "short-scalefree": _frontier(
        "batch norm, spectral, scale-free",
        Look("scale-free, short", INK, "^", "dotted"),
        Spectral(1.0, 1.0, 10, "scale-free"),
        "decaying",
        batch_norm=True,
    ),
    "jreg-latent": _corrected(
        "Jacobian of the latent",
        Look("Jacobian, latent", ORANGE, "<", "dotted"),
        Recipe("steps", LatentJacobian()),
        shown=LIVE,
    ),
    "jreg-logits": _corrected(
        "Jacobian of the logits",
        Look("Jacobian, logits", ORANGE, ">", "long"),
        Recipe("steps", LogitJacobian()),
        shown=LIVE,
    ),
    # With batch norm, as Nassar et al. have it: without it the latent's scale is free, and training runs away.
    "specreg-scalefree": _corrected(
        "Spectral, scale-free",
        Look("scale-free", INK, "P", "dashed"),
        Recipe("decaying", Spectral(1.0, 1.0, 10, "scale-free")),
        batch_norm=True,
        shown=LIVE,
    ),
    "specreg-scalefree-kh": _corrected(
        "Spectral, scale-free, KH exponent",
        Look("scale-free, KH", INK, "p", "dash-dot"),
        Recipe("decaying", Spectral(1.0, KH_ALPHA, 10, "scale-free")),
        batch_norm=True,
    ),
}
# What is measured beside the models: the bare KH layer, and the images themselves.
SUBJECTS = {
    LAYER: ("KH layer, not pruned", Look("KH layer", BLUE, "*", "dash-dot")),
    PIXELS: ("images themselves", Look("images", GREY, ".", "dotted")),
}


def members(place: str) -> list[str]:
    """The models that belong to one of ``SETS``, in the order of the registry; ``ValueError`` for another name."""
    if place not in SETS:
        raise ValueError(f"place = {place!r} is not known; choose from {', '.join(SETS)}")
    return [name for name, one in EXPERIMENTS.items() if place in one.shown]


def title(name: str) -> str:
    """What a model, the KH layer or the images themselves are called; ``ValueError`` for another name."""
    return SUBJECTS[name][0] if name in SUBJECTS else experiment(name).title


def look(name: str) -> Look:
    """How a model, the KH layer or the images themselves are drawn; ``ValueError`` for another name."""
    return SUBJECTS[name][1] if name in SUBJECTS else experiment(name).look


@dataclass(frozen=True)
class Scale:
    """Sizes that go with a dataset: hidden units, epochs and batch of supervised training, and the local rule's."""

    layer: KHParams
    epochs: int = 1000
    batch: int = 1000


def scale(data: Dataset) -> Scale:
    """The paper's sizes for CIFAR-10 and MNIST; small ones, minutes on a laptop, for everything else."""
    paper = {"cifar10": local_learning.PAPER_CIFAR10, "mnist": local_learning.PAPER_MNIST}
    return Scale(paper[data.name]) if data.name in paper else _small(data, 1.0)


LIVE_STEPS = 1200  # of training with labels, in a chapter's live cells and on own images
LIVE_WORK = 9.3e8  # pixels seen in all, those of 1200 batches of 250 images of 32 x 32 x 3


def live_scale(data: Dataset) -> Scale:
    """Sizes for a chapter's live cells, on any images: those of the photo patches, and no more steps and no more work.

    The environment variable ``BIOADV_EFFORT``, a number from 0 to 1, shortens all trainings by that factor, for a look
    at what a chapter makes of some images.
    """
    return _small(data, effort())


def _small(data: Dataset, effort: float) -> Scale:
    count, inputs = len(data.train), data.train.inputs
    batch = batch_size(count)
    epochs = min(LIVE_STEPS / -(-count // batch), LIVE_WORK / (count * inputs))
    layer = local_learning.live_params(data.name, count, inputs)
    layer = replace(layer, epochs=max(2, round(effort * layer.epochs)))
    return Scale(layer, epochs=max(2, int(effort * epochs)), batch=batch)


def effort() -> float:
    """What ``BIOADV_EFFORT`` asks for, 1 if it is not set; ``ValueError`` if it is no number above 0 and at most 1."""
    text = os.environ.get(EFFORT_VARIABLE) or "1"
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise ValueError(f"{EFFORT_VARIABLE} = {text!r}; give a number above 0 and at most 1, or unset it")
    return share


def batch_size(images: int, most: int = 250) -> int:
    """Images per step: ``most`` of thousands, fewer of few, so that an epoch has about twenty steps.

    Never one that leaves a single image for the last step, of all images or of the nine tenths that are not held out:
    one image has no variance, which batch norm and the spectral penalties need.
    """
    wanted = min(most, max(10, images // 20))
    left = (images, images - round(0.1 * images))
    return next((size for size in range(wanted, 1, -1) if all(count % size != 1 for count in left)), wanted)


def experiment(name: str) -> Experiment:
    """An experiment by name; ``ValueError`` lists the known ones."""
    if name not in EXPERIMENTS:
        raise ValueError(f"model {name!r} is not known; choose from {', '.join([LAYER, *EXPERIMENTS])}")
    return EXPERIMENTS[name]


def at_scale(name: str, data: Dataset, epochs: int | None = None) -> Experiment:
    """An experiment with the sizes that go with a dataset, as it is trained there; epochs: other than the scale's."""
    chosen, sizes = experiment(name), scale(data)
    share = chosen.recipe.epochs / training.PAPER_EPOCHS
    recipe = replace(chosen.recipe, epochs=epochs or max(1, round(share * sizes.epochs)), batch=sizes.batch)
    if isinstance(recipe.penalty, JacobianPublished):
        recipe = replace(recipe, penalty=replace(recipe.penalty, batch=sizes.batch))
    return replace(chosen, recipe=recipe)
