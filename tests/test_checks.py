"""Parameters that Python would let pass: fractions, infinities, truth values, misspelt names."""

import math

import pytest
import torch

from bioadv.lab.jobs import Where
from bioadv.measure import critical, gradient_ascent, noise
from bioadv.measure.gradient_ascent import PGD
from bioadv.network import models, recipes, streams
from bioadv.network.kh_params import KHParams
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian
from bioadv.network.spectral_penalty import Spectral

BAD_COUNTS = [100.5, 20.0, True, math.inf, "20", None]
BAD_NUMBERS = [math.inf, math.nan, True, "0.1", None, 1j]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(KHParams, name) for name in ("hidden", "k", "epochs", "batch")]
    + [(Recipe, "epochs"), (Recipe, "batch"), (JacobianPublished, "projections"), (JacobianPublished, "batch")]
    + [(Spectral, "tau"), (PGD, "steps"), (Where, "every")],
)
@pytest.mark.parametrize("value", BAD_COUNTS, ids=str)
def test_counts_are_whole_numbers(kind, name, value):
    with pytest.raises(ValueError, match=rf"{name} = .*; give a whole number"):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "name"),
    [(KHParams, name) for name in ("p", "delta", "radius", "rate", "init_mean", "init_std")]
    + [(kind, "strength") for kind in (L2, JacobianPublished, LatentJacobian, LogitJacobian, Spectral)]
    + [(Spectral, "alpha"), (PGD, "step")],
)
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=str)
def test_numbers_are_finite(kind, name, value):
    if kind is PGD and value is None:
        return  # the published rule
    with pytest.raises(ValueError, match=rf"{name} = .*; give a finite number"):
        kind(**{name: value})


def test_recipes_take_penalties_and_known_schedules():
    with pytest.raises(ValueError, match="penalty = 'l2'; give one of bioadv.network.regularizers, Spectral"):
        Recipe("steps", "l2")
    with pytest.raises(ValueError, match="schedule = 'Steps' is not known; choose constant or steps or decaying"):
        recipes.learning_rate("Steps", 1)


@pytest.mark.parametrize("seed", [0.5, True, "1", None])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(ValueError, match="seed = .*; give a whole number"):
        streams.pick(streams.START, seed)


def test_attacks_refuse_misspelt_norms_and_infinite_strengths():
    model = models.init(TwoLayer(6, 4, 3), torch.Generator().manual_seed(0)).eval()
    x, y = torch.rand(5, 6), torch.tensor([0, 1, 2, 0, 1])
    for norm in ("Linf", "inf", "l1", "", None):
        with pytest.raises(ValueError, match="norm = .* is not known; choose linf or l2"):
            critical.guess(model, x, y, norm=norm)
    for eps in (math.inf, math.nan, -1.0):
        with pytest.raises(ValueError, match=r"eps spans .*; give finite strengths >= 0"):
            gradient_ascent.pgd(model, x, y, eps)
    for count in (2.5, True):
        with pytest.raises(ValueError, match=r"count = .*; give a whole number"):
            noise.pool(model, torch.Generator(), count)
