import itertools

import numpy as np
import pytest
import torch

from bioadv.measure import attacks, certificates, critical, gradient_ascent
from bioadv.measure.attacks import UNBOUNDED
from bioadv.network.models import TwoLayer, activation, slope
from tests.test_attacks import linear_distance, linear_images, linear_model
from tests.test_critical import trained_like

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


@NORMS
def test_radius_is_below_the_distance_of_a_linear_model(norm):
    model, a = linear_model(classes=3)
    x, y = linear_images(model)
    radius = certificates.certified_radius(model, x, y, norm)
    distance = linear_distance(model, a, x, y, norm).numpy()
    assert (radius > 0).all()
    assert (radius <= distance).all()


@NORMS
def test_the_linear_bound_is_exact_where_the_network_is_linear(norm):
    """Far from all kinks a ReLU network is linear, and the bound must find the distance to a relative 2e-4."""
    model, a = linear_model(classes=3)
    x, y = linear_images(model)
    x = x.sign() * (x.abs() + 100)
    with torch.no_grad():
        model.bias.copy_(torch.zeros(3))
        y = model(x).argmax(1)
    distance = linear_distance(model, a, x, y, norm).numpy()
    near = distance < 50  # the ball reaches no kink
    assert near.sum() > 10
    radius = certificates.certified_radius(model, x, y, norm)
    np.testing.assert_allclose(radius[near], distance[near], rtol=5e-4)


@NORMS
@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("method", ["linear", "interval", "second order"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_bounds_hold_for_random_points_of_the_ball(power, norm, method, batch_norm, generator):
    if method == "second order" and norm == "linf":
        pytest.skip("the bound of second order is for L2 balls")
    model, x, y = trained_like(power, batch_norm=batch_norm)
    radius = torch.logspace(-3, 0.5, len(x), dtype=torch.float64)
    bound = certificates.margin_bound(model, x, y, radius, norm, method)
    for _ in range(20):  # corners and the sphere, where a convex function is largest
        u = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        u = u.sign() if norm == "linf" else u / u.norm(dim=1, keepdim=True)
        reached = attacks.margin(attacks.logits(model, x + radius[:, None] * u), y)
        assert (reached >= bound - 1e-12).all()
    slope, _ = attacks.gradient(model, x, y, "margin")
    u = slope.sign() if norm == "linf" else slope / slope.norm(dim=1, keepdim=True)
    assert (attacks.margin(attacks.logits(model, x + radius[:, None] * u), y) >= bound - 1e-12).all()


@NORMS
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_bound_falls_with_the_radius(power, norm):
    model, x, y = trained_like(power)
    bounds = [certificates.margin_bound(model, x, y, torch.full((200,), r).double(), norm) for r in (0, 0.01, 0.1, 1)]
    torch.testing.assert_close(bounds[0], attacks.margin(attacks.logits(model, x), y))
    for larger, smaller in itertools.pairwise(bounds):
        assert (smaller <= larger).all()


@NORMS
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_no_attack_gets_below_the_certificate(power, norm):
    model, x, y = trained_like(power)
    radius = certificates.certified_radius(model, x, y, norm)
    params = gradient_ascent.PGD(steps=40, norm=norm, loss="margin", step=0.1, best=True)
    grid = np.logspace(-4, 1, 200)
    found = critical.search(model, x, y, critical.pgd(model, x, y, params, UNBOUNDED), grid)
    assert (radius < found.epsilon).all()
    assert np.median(found.epsilon / radius) < 5  # and the bracket is not empty words


def test_linear_and_interval_bounds_are_combined():
    model, x, y = trained_like(4.5)
    radii = {method: certificates.certified_radius(model, x, y, method=method) for method in ("linear", "interval")}
    both = certificates.certified_radius(model, x, y)
    assert (both >= np.maximum(*radii.values()) * 0.999).all()
    assert (radii["interval"] > 0).all()


@pytest.mark.parametrize(("norm", "reach"), [("linf", (0.3, 0.5)), ("l2", (0.1 * 5**0.5, 0.1 * 13**0.5))])
def test_the_interval_bound_by_hand(norm, reach):
    """Two units that see the image (1, 2) with rows (1, 2) and (2, -3): h = (5, -4); class 0 is a_0, class 1 is a_1."""
    model = TwoLayer(2, 2, 2).double().eval()
    with torch.no_grad():
        model.hidden.copy_(torch.tensor([[1.0, 2.0], [2.0, -3.0]]))
        model.readout.copy_(torch.eye(2))
        model.bias.copy_(torch.tensor([0.0, 1.0]))
    x, y, radius = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]), torch.tensor([0.1], dtype=torch.float64)
    bound = certificates.margin_bound(model, x, y, radius, norm, "interval")
    # a_0 is at least 5 - reach of its row, a_1 stays 0, and the other class has a bias of 1.
    assert float(bound) == pytest.approx(5 - reach[0] - 0 - 1, abs=1e-12)
    bound = certificates.margin_bound(model, x, y, 20 * radius, norm, "interval")
    assert float(bound) == pytest.approx(max(5 - 20 * reach[0], 0) - (-4 + 20 * reach[1]) - 1, abs=1e-12)


def test_wrong_images_get_zero():
    model, x, y = trained_like(1.0)
    assert (certificates.certified_radius(model, x, (y + 1) % 5) == 0).all()


@NORMS
def test_an_image_that_moves_no_unit_is_certain_up_to_the_nearest_kink_and_beyond(norm):
    """One unit, h = -x_0, is silent at x = (1, 1); the margin is 1 until it responds, and then falls at a rate of 2."""
    model = TwoLayer(2, 1, 2).double()
    with torch.no_grad():
        model.hidden[0, 0], model.readout[:, 0], model.bias[0] = -1.0, torch.tensor([-2.0, 0.0]), 1.0
    x, y = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    assert 1 < certificates.certified_radius(model.eval(), x, y, norm)[0] <= 1.5
    assert not attacks.wrong(model, x - torch.tensor([[1.49, 0.0]]), y).any()
    assert attacks.wrong(model, x - torch.tensor([[1.51, 0.0]]), y).all()


def test_bad_input_is_refused():
    model, x, y = trained_like(1.0)
    with pytest.raises(ValueError, match="norm = 'l1'"):
        certificates.certified_radius(model, x, y, "l1")
    with pytest.raises(ValueError, match="method = 'magic'"):
        certificates.certified_radius(model, x, y, method="magic")
    with pytest.raises(ValueError, match="y has shape"):
        certificates.certified_radius(model, x, y[:2])


@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
def test_the_parabola_lies_above_the_activation_and_touches_it(power):
    h = torch.linspace(-2, 2, 81, dtype=torch.float64)[:, None] + 0.0123
    for reach in (0.01, 0.5, 1.5, 6.0):
        t = reach * torch.linspace(-1, 1, 4001, dtype=torch.float64)
        kappa = certificates.curvature_bound(h, torch.full_like(h, reach), power)
        above = kappa * t.square() / 2 + activation(h, power) + slope(h, power) * t - activation(h + t, power)
        assert (above >= -1e-10).all()
        lower = above - 0.02 * kappa * t.square() / 2  # two per cent less curvature is not enough
        assert ((lower < 1e-12) & (t != 0)).any(1)[kappa[:, 0] > 0].all()


def test_the_parabola_needs_a_power_whose_curvature_is_bounded():
    with pytest.raises(ValueError, match=r"power = 1\.5: .* use another method"):
        certificates.curvature_bound(torch.ones(1, 1), torch.ones(1, 1), 1.5)


def test_largest_eigenvalue_bound_against_the_eigenvalues(generator):
    m = torch.randn(30, 12, generator=generator, dtype=torch.float64)
    d = torch.rand(8, 30, generator=generator, dtype=torch.float64) * (torch.rand(8, 30, generator=generator) > 0.5)
    d[0] = 0
    exact = torch.stack([torch.linalg.eigvalsh(m.T @ (row[:, None] * m))[-1] for row in d])
    bound = certificates.largest_eigenvalue_bound(d, (m @ m.T).abs())
    assert (bound >= exact - 1e-9).all()
    assert bound[0] == 0
    positive = certificates.largest_eigenvalue_bound(d, (m.abs() @ m.abs().T))
    exact = torch.stack([torch.linalg.eigvalsh(m.abs().T @ (row[:, None] * m.abs()))[-1] for row in d])
    assert (positive >= exact - 1e-9).all()
    assert (positive[1:] <= 1.01 * exact[1:]).all()  # tight where all overlaps are positive


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_all_bounds_together_are_the_best_of_them(power):
    model, x, y = trained_like(power)
    radii = {method: certificates.certified_radius(model, x, y, method=method) for method in certificates.METHODS}
    best = np.maximum(radii["both"], radii["second order"])
    assert (radii["all"] >= best * (1 - 5e-4)).all()  # better than either where other classes need other bounds
    if power > 1:  # a kink has no parabola that is tight on both sides of it
        assert (radii["second order"] > radii["both"]).mean() > 0.9


def test_second_order_is_refused_for_other_balls():
    model, x, y = trained_like(1.0)
    with pytest.raises(ValueError, match=r"method = 'all' is for L2 balls; with norm = 'linf' choose"):
        certificates.certified_radius(model, x, y, "linf", "all")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "linf", "method": "second order"}, "method = 'second order' is for L2 balls"),
        ({"norm": "linf", "method": "all"}, "method = 'all' is for L2 balls"),
        ({"method": "liner"}, "method = 'liner' is not known; choose from linear, interval"),
        ({"norm": "l3"}, "norm = 'l3'"),
        (
            {"radius": torch.full((200,), -0.1)},
            r"radius has shape \(200,\), smallest -0.1.*; give one finite number >= 0",
        ),
        ({"radius": torch.full((200,), torch.nan)}, "radius has shape .* give one finite number >= 0"),
        ({"radius": torch.tensor(0.1)}, r"radius has shape \(\), .* for each of 200 images"),
    ],
)
def test_no_bound_for_what_it_does_not_hold_for(changes, message):
    model, x, y = trained_like(2.0)
    given = {"radius": torch.full((200,), 0.05), **changes}
    with pytest.raises(ValueError, match=message):
        certificates.margin_bound(model, x, y, **given)
