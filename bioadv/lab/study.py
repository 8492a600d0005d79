"""The registry of the study: every model of the paper, its controls, and corrected variants.

Nothing is trained here, see :mod:`bioadv.lab.runner`. An experiment's parameters are kept in the manifest of each run
and compared with those of today; what it is called and how it is drawn are not parameters and may change at any time.
"""

from __future__ import annotations

from typing import Any

from bioadv.lab.experiments import EVERYWHERE, SETS, Experiment
from bioadv.lab.looks import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, Look
from bioadv.network import kh_params, recipes
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian, Penalty
from bioadv.network.spectral_penalty import Spectral

LAYER = "kh-layer"
PIXELS = "pixels"  # stands for a model: the images themselves, every pixel a unit
KH_POWER = kh_params.PAPER_POWER
KH_ALPHA = 2.62  # exponent of the authors' KH layer, target of their SpecReg-KH (authors' code at e1b82cd)
MOST, SMALL = EVERYWHERE - {"few"}, frozenset({"small"})
LIVE = frozenset({"penalties"})


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
    recipe = Recipe(schedule, penalty, epochs=recipes.PAPER_EPOCHS // 10)
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
        Recipe("constant", epochs=recipes.PAPER_EPOCHS // 10),
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


def experiment(name: str) -> Experiment:
    """An experiment by name; ``ValueError`` lists the known ones."""
    if name == LAYER:
        raise ValueError(f"{LAYER} is a layer without a readout, and no model; give one of {', '.join(EXPERIMENTS)}")
    if name not in EXPERIMENTS:
        raise ValueError(f"model {name!r} is not known; choose from {', '.join([LAYER, *EXPERIMENTS])}")
    return EXPERIMENTS[name]
