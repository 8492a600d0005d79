import numpy as np
import pytest
import torch
from torch.func import jacrev, vmap

from bioadv.data.datasets import unit_lp
from bioadv.lab import probe_landscape
from bioadv.measure import landscapes
from bioadv.measure.landscapes import boundary_length, landscape, plane_towards, random_plane, regions, smoothness
from bioadv.network import models, streams
from bioadv.network.models import TwoLayer

INPUTS = 12


@pytest.fixture(params=[(1.0, False), (2.5, False), (4.5, False), (1.0, True), (4.5, True)], ids=str)
def model(request, generator):
    power, batch_norm = request.param
    model = models.init(TwoLayer(INPUTS, 7, 4, power, batch_norm), generator).double()
    with torch.no_grad():
        model.hidden *= 3
        model.bias.uniform_(-1, 1, generator=generator)
        if model.norm is not None:  # as after training: nothing at its neutral value
            for values in (model.norm.weight, model.norm.bias, model.norm.running_mean, model.norm.running_var):
                values.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


@pytest.fixture
def plane(generator):
    x = torch.rand(INPUTS, generator=generator, dtype=torch.float64)
    return random_plane(x, generator)


def points(plane, coordinates):
    """The images of a map, (P * P, D), one by one from the definition."""
    return torch.stack([plane.at(s, t) for t in coordinates for s in coordinates])


def test_maps_are_the_definition(model, plane):
    found = landscape(model, plane, radius=2.0, points=5, logit_jacobian=True, rows=2)
    x = points(plane, found.coordinates)
    latent = vmap(jacrev(lambda image: model.after(image[None])[0]))(x).square().sum((1, 2)).sqrt()
    logit = vmap(jacrev(lambda image: model(image[None])[0]))(x).square().sum((1, 2)).sqrt()
    with torch.no_grad():
        confidence, classes = model(x).softmax(1).max(1)
    for mine, plain in (
        (found.latent_jacobian, latent),
        (found.logit_jacobian, logit),
        (found.confidence, confidence),
        (found.classes, classes),
    ):
        np.testing.assert_allclose(mine, plain.detach().numpy().reshape(5, 5), rtol=1e-8)
    assert latent.std() > 0.01 * latent.mean()  # not a map without relief
    np.testing.assert_allclose(found.coordinates, [-2, -1, 0, 1, 2])


def test_rows_at_once_do_not_matter(model, plane):
    one, all_at_once = (landscape(model, plane, points=7, rows=rows) for rows in (1, 7))
    np.testing.assert_allclose(one.latent_jacobian, all_at_once.latent_jacobian, rtol=1e-12)
    np.testing.assert_array_equal(one.classes, all_at_once.classes)
    assert one.logit_jacobian is None


def test_thinned_is_the_coarser_map(model, plane):
    fine, coarse = (landscape(model, plane, points=count, logit_jacobian=True) for count in (9, 5))
    for name in ("coordinates", "latent_jacobian", "logit_jacobian", "classes", "confidence"):
        np.testing.assert_allclose(getattr(fine.thinned(), name), getattr(coarse, name), rtol=1e-10)


def test_random_plane_is_orthonormal_and_its_own(generator):
    x = torch.rand(INPUTS, generator=generator)
    first, second = (random_plane(x, generator) for _ in range(2))
    axes = torch.stack([first.u, first.v])
    torch.testing.assert_close(axes @ axes.T, torch.eye(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(first.at(0, 0), x)
    assert abs(float(first.u @ second.u)) < 0.99


def test_plane_towards_images_contains_them(generator):
    x, target, other = torch.rand(3, INPUTS, generator=generator, dtype=torch.float64)
    found = plane_towards(x, target, other)
    torch.testing.assert_close(found.at(float((target - x).norm()), 0), target)
    s, t = float((other - x) @ found.u), float((other - x) @ found.v)
    assert t > 0
    torch.testing.assert_close(found.at(s, t), other)
    with_random = plane_towards(x, target, generator)
    torch.testing.assert_close(with_random.u, found.u)
    assert abs(float(with_random.u @ with_random.v)) < 1e-12


def test_nearly_parallel_directions_stay_orthogonal(generator):
    """Two images that differ by a few per mille, as an image and its adversarial example do, in float32."""
    x = torch.rand(3072, generator=generator)
    target = x + 1e-2 * torch.rand(3072, generator=generator)
    other = target + 1e-5 * torch.rand(3072, generator=generator)
    found = plane_towards(x, target, other)
    assert abs(float(found.u.double() @ found.v.double())) < 1e-6


@pytest.mark.parametrize("target", [0.0, 2.0])
def test_three_images_on_a_line_are_refused(generator, target):
    x = torch.rand(INPUTS, generator=generator, dtype=torch.float64)
    away = torch.rand(INPUTS, generator=generator, dtype=torch.float64)
    with pytest.raises(ValueError, match="span no plane"):
        plane_towards(x, x + target * away, x + 3 * away)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 0.0}, "radius = 0.0"),
        ({"radius": float("nan")}, "radius = nan"),
        ({"points": 1}, "points = 1"),
    ],
)
def test_bad_squares_are_refused(model, plane, options, words):
    with pytest.raises(ValueError, match=words):
        landscape(model, plane, **options)


def test_a_foreign_plane_is_refused(model):
    with pytest.raises(ValueError, match="5 inputs, the model has 12"):
        landscape(model, random_plane(torch.rand(5), torch.Generator()))


def grid(count, radius=1.0):
    axis = np.linspace(-radius, radius, count)
    return np.meshgrid(axis, axis), axis[1] - axis[0]


def test_regions_are_connected_components():
    (x, y), _ = grid(101)
    assert regions(np.zeros((4, 4), dtype=int)) == 1
    assert regions((x > 0).astype(int)) == 2
    # Two separate discs of one class in the other, and a checkerboard, whose fields touch at corners only.
    discs = (((np.abs(x) - 0.5) ** 2 + y**2) < 0.04).astype(int)
    assert regions(discs) == 3
    assert regions(np.indices((4, 4)).sum(0) % 2) == 16
    sectors = np.floor((np.arctan2(y, x) + np.pi) / (2 * np.pi) * 6 - 1e-9).astype(int)
    assert regions(sectors) == len(np.unique(sectors))


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 13))
def test_boundary_of_a_straight_line(angle):
    (x, y), spacing = grid(400)
    side = x * np.cos(angle) + y * np.sin(angle) > 1e-3
    length = 2 / max(abs(np.cos(angle)), abs(np.sin(angle)))  # of the line inside the square
    assert boundary_length(side.astype(int), spacing) == pytest.approx(length, rel=0.065)


def test_boundary_of_a_circle_at_two_resolutions():
    for count in (101, 401):
        (x, y), spacing = grid(count)
        inside = x**2 + y**2 < 0.6**2
        assert boundary_length(inside.astype(int), spacing) == pytest.approx(2 * np.pi * 0.6, rel=0.02)
    assert boundary_length(np.zeros((5, 5)), 0.1) == 0


def test_smoothness_tells_smooth_from_steps_from_noise():
    (x, y), _ = grid(200)
    smooth = np.exp(-3 * (x**2 + y**2))
    steps = np.zeros_like(x)
    noise = np.random.default_rng(0).standard_normal(x.shape)
    for angle, offset in np.random.default_rng(1).uniform(-1, 1, (30, 2)) * [np.pi, 0.7]:
        steps += x * np.cos(angle) + y * np.sin(angle) > offset
    assert smoothness(smooth) == pytest.approx(1, abs=0.01)
    assert smoothness(steps) == pytest.approx(0.5, abs=0.05)
    assert smoothness(noise) == pytest.approx(0, abs=0.05)
    assert np.isnan(smoothness(np.ones((5, 5))))
    assert np.isnan(smoothness(1 + 1e-7 * noise))


def test_relu_landscapes_are_steps_and_steep_powers_are_smooth(generator):
    for power, expected in ((1.0, 0.5), (4.5, 1.0)):
        model = models.init(TwoLayer(INPUTS, 40, 3, power), torch.Generator().manual_seed(3))
        plane = random_plane(torch.rand(INPUTS, generator=generator), generator)
        found = landscape(model, plane, radius=3.0, points=200)
        assert smoothness(found.latent_jacobian) == pytest.approx(expected, abs=0.06)


def test_summary_of_a_known_landscape():
    """A square cut in two: class 0 on the left, 1 on the right, Jacobian 1 and 3."""
    axis = np.linspace(-2.0, 2.0, 101)
    right = np.broadcast_to(axis > 0.01, (101, 101))
    found = landscapes.Landscape(axis, 1.0 + 2 * right, 2.0 + 4 * right, right.astype(int), np.full((101, 101), 0.75))
    numbers = landscapes.summary(found)
    assert (numbers["low"], numbers["high"], numbers["classes"]) == (1, 3, 2)
    assert numbers["regions"] == numbers["regions_coarse"] == 2
    assert numbers["spread"] == pytest.approx(0.5, rel=0.01)
    assert numbers["logit_spread"] == pytest.approx(0.5, rel=0.01)
    assert numbers["logit_mean"] == pytest.approx(4, rel=0.02)
    assert numbers["smoothness"] == pytest.approx(0.5, abs=0.02)
    assert numbers["boundary"] == pytest.approx(1, rel=0.07)
    assert numbers["boundary_coarse"] == pytest.approx(1, rel=0.08)
    assert numbers["confidence"] == 0.75


def test_the_probe_measures_the_same_planes_for_every_model(patches):
    settings = {**probe_landscape.LANDSCAPE, "images": 2, "points": 9, "logit_points": 3}
    first, second = (
        models.init(TwoLayer(3072, 6, 10, power), torch.Generator().manual_seed(1)) for power in (1.0, 4.5)
    )
    for model in (first.eval(), second.eval()):
        model.hidden.data.abs_()  # no unit is dead
    one, other = (probe_landscape.measure_landscape(model, patches, settings, False) for model in (first, second))
    assert np.isfinite(one["spread"]).all()
    assert one["low"].shape == one["regions"].shape == (2, 3, 2)
    assert one["other_spread"].shape == one["logit_mean"].shape == (2, 2)
    assert one["map_classes"].shape == (2, 3, 5, 5)
    # The same weights with the other activation: what one measures as its own is the other's control.
    for key in ("low", "high", "spread"):
        np.testing.assert_allclose(one[f"other_{key}"], other[key][:, 0], rtol=1e-5)
        np.testing.assert_allclose(other[f"other_{key}"], one[key][:, 0], rtol=1e-5)
    x = unit_lp(patches.test.first(2))
    plane = random_plane(x[0], torch.Generator().manual_seed(streams.PLANES[0]))
    again = landscape(second, plane, 20.0, 9).thinned()
    digit = 10 ** (np.floor(np.log10(again.latent_jacobian.max())) - 3)  # kept to three digits of the largest
    np.testing.assert_allclose(other["map_jacobian"][1, 0], again.latent_jacobian, atol=0.51 * digit, rtol=0)
    np.testing.assert_array_equal(other["map_classes"][1, 0], again.classes)
    np.testing.assert_allclose(other["map_confidence"][1, 0] / 255, again.confidence, atol=0.003)


def test_the_probe_leaves_out_planes_towards_adversarial_examples_that_are_not_there(patches):
    settings = {**probe_landscape.LANDSCAPE, "images": 2, "points": 5, "logit_points": 3}
    dead = models.init(TwoLayer(3072, 4, 10, 4.5), torch.Generator().manual_seed(1)).eval()
    dead.hidden.data.abs_().neg_()
    found = probe_landscape.measure_landscape(dead, patches, settings, False)
    kind = probe_landscape.PLANES.index("adversarial")
    assert np.isnan(found["regions"][:, kind]).all()
    assert np.isfinite(np.delete(found["regions"], kind, axis=1)).all()
