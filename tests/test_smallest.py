from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bioadv.data.datasets import Images, ceiling, unit_lp
from bioadv.measure import attack_libraries, referees, smallest
from bioadv.measure.smallest import Effort
from bioadv.network import models
from bioadv.network.models import TwoLayer
from tests.test_attacks import linear_distance, linear_model

pytestmark = pytest.mark.skipif(
    bool(attack_libraries.missing()), reason="pip install 'bioadv[referees]' brings the attacks"
)
NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


def curved_model(power, seed=0):
    """A network of two pixels whose three classes all occur in the unit square."""
    generator = torch.Generator().manual_seed(seed)
    model = models.init(TwoLayer(2, 12, 3, power), generator).eval()
    x = torch.rand(60, 2, generator=generator)
    with torch.no_grad():
        model.readout *= 30
        model.bias -= model(x).mean(0)
        y = model(x).argmax(1)
    assert len(y.unique()) == 3
    return model, x, y


@NORMS
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_found_is_what_brute_force_over_the_box_finds(norm, power):
    """Every point of a fine lattice on each image's own box: the nearest one that is decided otherwise."""
    model, x, y = curved_model(power)
    scale = torch.linspace(0.6, 1.0, len(x))[:, None]
    x = x * scale  # so that some boxes end before the nearest boundary
    y = model(x).argmax(1)
    found = smallest.smallest(model, x, y, scale, norm)
    side, close = torch.linspace(0, 1, 801), []
    lattice = torch.cartesian_prod(side, side)
    for image, label, full, length in zip(x, y, scale, found, strict=True):
        other = lattice * full
        other = other[model(other).argmax(1) != label]
        if not len(other):
            assert torch.isinf(length)
            continue
        order = torch.inf if norm == "linf" else 2
        nearest = float(torch.linalg.vector_norm(other - image, order, dim=1).min())
        assert float(length) >= nearest - 2e-3  # half a cell of the lattice, and rounding
        close.append(float(length) <= 1.06 * nearest + 2e-3)
    assert np.mean(close) > 0.9  # a few images have a second boundary nearby, where no gradient points


@NORMS
def test_found_is_the_distance_of_a_linear_model(norm):
    model, a = (part.float() for part in linear_model(classes=3))
    x = 0.3 + 0.4 * torch.rand(40, 6, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    distance = linear_distance(model, a, x, y, norm)
    inside = distance < 0.25  # the box is further away
    assert inside.sum() > 10
    found = smallest.smallest(model, x, y, torch.ones(40, 1), norm)[inside]
    assert (found >= distance[inside] * (1 - 1e-5)).all()
    assert (found <= distance[inside] * 1.06).all()


def test_units_of_the_photograph_by_hand():
    """Two pixels, 30 and 40 of 255: L3 norm 91000^(1/3), so that full scale becomes 255 / 44.98."""
    images = Images(np.array([[[[30], [40]]]], np.uint8), np.array([0]), ("a", "b"), "two")
    x, scale = unit_lp(images), ceiling(images)
    length = (30**3 + 40**3) ** (1 / 3)
    assert float(scale) == pytest.approx(255 / length)
    moved = (np.array([30, 40]) + np.array([8, -8])) / length  # eight grey levels in every pixel
    linf = torch.tensor([np.abs(moved - x.numpy()).max()])
    assert float(linf / scale[:, 0]) == pytest.approx(8 / 255)
    l2 = torch.tensor([np.linalg.norm(moved - x.numpy())])
    assert float(l2 / scale[:, 0]) == pytest.approx(8 * 2**0.5 / 255)


@NORMS
def test_wrong_images_get_zero_and_what_no_attack_reaches_infinity(norm):
    model, x, y = curved_model(1.0)
    y[:20] = (y[:20] + 1) % 3
    assert (smallest.smallest(model, x, y, torch.ones(60, 1), norm)[:20] == 0).all()
    with torch.no_grad():
        model.readout.zero_()
        model.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    found = smallest.smallest(model, x, torch.zeros(60, dtype=torch.int64), torch.ones(60, 1), norm)
    assert torch.isinf(found).all()
    assert (smallest.smallest(model, x, torch.ones(60, dtype=torch.int64), torch.ones(60, 1), norm) == 0).all()


def test_what_ddn_finds_counts(monkeypatch):
    """A perturbation that DDN alone finds is the smallest; so little effort of the others does not reach it."""
    model, x, y = curved_model(4.5)
    scale, little = torch.ones(60, 1), Effort(2, 1, 1, 1)
    without = smallest.smallest(model, x, y, scale, "l2", little)
    best = smallest.smallest(model, x, y, scale, "l2", Effort(40, 4, 40, 150))
    image = int(((without - best) / without).argmax())
    assert best[image] < 0.99 * without[image]  # which so little effort does not find
    direction = torch.nn.functional.normalize(torch.randn(400, 2, generator=torch.Generator().manual_seed(0)), dim=1)
    around = (x[image] + best[image] * 1.005 * direction).clamp(0, 1)
    there = around[model(around).argmax(1) != y[image]][0]

    def ddn(model, images, labels, steps, seed):
        moved = images.clone()
        moved[(images == x[image]).all(1)] = there
        return SimpleNamespace(images=moved)

    monkeypatch.setattr(smallest.referees, "ddn", ddn)
    found = smallest.smallest(model, x, y, scale, "l2", little)
    assert found[image] <= torch.linalg.vector_norm(there - x[image]) * (1 + 1e-6) < 0.999 * without[image]


def test_more_effort_finds_no_less_and_a_seed_repeats():
    model, x, y = curved_model(4.5)
    scale, little = torch.ones(60, 1), Effort(2, 1, 1, 1)
    poor, good = (smallest.smallest(model, x, y, scale, "l2", effort) for effort in (little, Effort(40, 4, 40, 150)))
    assert (good <= poor * 1.03).all()
    assert torch.equal(smallest.smallest(model, x, y, scale), smallest.smallest(model, x, y, scale))


def test_bad_input_is_refused():
    model, x, y = curved_model(1.0)
    for scale, message in [(torch.ones(60), r"scale has shape \(60,\)"), (torch.zeros(60, 1), "give a positive one")]:
        with pytest.raises(ValueError, match=message):
            smallest.smallest(model, x, y, scale)
    with pytest.raises(ValueError, match="norm = 'l1'"):
        smallest.smallest(model, x, y, torch.ones(60, 1), "l1")
    with pytest.raises(ValueError, match="leave the box"):
        smallest.smallest(model, x, y, torch.full((60, 1), 0.2))
    for name, value in (("steps", 0), ("auto", 0), ("ddn", 0), ("restarts", 0), ("below", 1.0), ("below", 0.0)):
        with pytest.raises(ValueError, match=f"{name} = {value}"):
            Effort(**{name: value})


@NORMS
def test_auto_pgd_stays_in_each_images_own_ball(norm):
    model, x, y = curved_model(1.0)
    eps = torch.linspace(0.01, 0.5, 60)
    y = model(x).argmax(1)
    found = referees.auto_pgd(model, x, y, eps, norm, steps=10)
    lengths = torch.linalg.vector_norm(found.images - x, torch.inf if norm == "linf" else 2, dim=1)
    assert (lengths <= eps * 1.0001).all()
    assert found.found.any()
    assert (model(found.images).argmax(1) != y)[found.found].all()
    with pytest.raises(ValueError, match=r"eps has shape \(59,\)"):
        referees.auto_pgd(model, x, y, eps[:-1], norm)
    with pytest.raises(ValueError, match="norm = 'l1'"):
        referees.auto_pgd(model, x, y, eps, "l1")
    with pytest.raises(ValueError, match="loss = 'margin'"):
        referees.auto_pgd(model, x, y, eps, norm, loss="margin")
