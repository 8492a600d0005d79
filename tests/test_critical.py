import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.isotonic import IsotonicRegression

from bioadv.measure import attacks, critical, gradient_ascent, noise
from bioadv.measure.attacks import UNBOUNDED
from bioadv.measure.critical import GRID, NOISE_GRID
from bioadv.measure.gradient_ascent import PUBLISHED_MARGIN, RECOMMENDED
from bioadv.network import models
from bioadv.network.models import TwoLayer
from tests.test_attacks import linear_distance, linear_images, linear_model

SMALL = np.logspace(-3, 0.5, 60)


def trained_like(power, inputs=30, hidden=40, seed=0, batch_norm=False):
    """A random network whose classes all occur, and the images that it decides correctly by construction."""
    generator = torch.Generator().manual_seed(seed)
    model = models.init(TwoLayer(inputs, hidden, 5, power, batch_norm), generator).double().eval()
    if model.norm is not None:  # statistics and gains that are not trivial
        with torch.no_grad():
            model.norm.running_mean.normal_(0, 0.3, generator=generator)
            model.norm.running_var.uniform_(0.2, 2, generator=generator)
            model.norm.weight.uniform_(-1, 2, generator=generator)
    x = torch.rand(200, inputs, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        model.bias -= model(x).mean(0)
        model.readout /= model(x).std()
        return model, x, model(x).argmax(1)


def first_failing(fails):
    """Plain definition: first index in each row that fails."""
    return np.array([next((i for i, bad in enumerate(row) if bad), len(row)) for row in fails])


def scripted(fails, tried=None):
    """A one-pixel 'model' and an attack whose outcome is written in a table: fails (N, G)."""
    model = TwoLayer(1, 2, 2).eval()
    with torch.no_grad():  # class 1 where the pixel is positive, else class 0
        model.hidden.copy_(torch.tensor([[1.0], [-1.0]]))
        model.readout.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
    x, y, grid = (
        -torch.ones(len(fails), 1),
        torch.zeros(len(fails), dtype=torch.int64),
        np.arange(1.0, len(fails[0]) + 1),
    )

    def attack(chosen, eps):
        points = eps.long() - 1
        if tried is not None:
            tried.extend(zip(chosen.tolist(), points.tolist(), strict=True))
        bad = torch.from_numpy(np.asarray(fails))[chosen, points]
        return torch.where(bad[:, None], 1.0, -1.0)

    return model, x, y, attack, grid


def thresholds(points=50):
    """Every possible monotone table: image i fails from grid index i on, the last one never."""
    return np.arange(points)[None] >= np.arange(points + 1)[:, None]


def test_the_grids_are_the_public_codes():
    assert len(GRID) == len(NOISE_GRID) == 400
    np.testing.assert_allclose(
        [GRID[0], GRID[-1], NOISE_GRID[0], NOISE_GRID[-1]], [1e-6, 10**-1.5, 1e-6, 10 ** np.log(2.5)]
    )
    np.testing.assert_allclose(np.diff(np.log(GRID)), np.log(GRID[1] / GRID[0]))


@pytest.mark.parametrize("near", [None, 0, 25, 49])
def test_search_is_exact_where_failing_is_monotone(near):
    fails, tried = thresholds(), []
    near = None if near is None else np.full(len(fails), near)
    found = critical.search(*scripted(fails, tried), near=near, size=7)
    np.testing.assert_array_equal(found.index, np.arange(51))
    assert found.never == 1
    assert np.isnan(found.norm[-1])
    assert (found.norm[:-1] == 2).all()
    assert len(set(tried)) == len(tried), "a point was tried twice"
    assert found.attacks == len(tried) / 51 < 11


def test_a_good_guess_saves_attacks():
    fails = thresholds(400)
    plain = critical.search(*scripted(fails), below=())
    guessed = critical.search(*scripted(fails), below=(), near=np.clip(np.arange(401) + 1, 0, 399))
    assert guessed.attacks < 0.55 * plain.attacks


def test_search_goes_on_below_a_crossing():
    fails = np.arange(50)[None] >= np.full((4, 1), 30)
    fails[1, 28] = True  # within reach of the probes
    fails[2, [28, 26, 24, 20]] = True  # one probe leads to the next
    fails[3, 3] = True  # out of reach, unless the bisection happens on it
    found = critical.search(*scripted(fails))
    np.testing.assert_array_equal(found.index[:3], first_failing(fails)[:3])
    assert found.index[3] == 30
    np.testing.assert_array_equal(critical.brute_force(*scripted(fails)).index, first_failing(fails))


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_brute_force_is_the_definition(power):
    model, x, y = trained_like(power)
    attack = critical.pgd(model, x, y)
    fails = np.stack([attacks.wrong(model, gradient_ascent.pgd(model, x, y, eps), y).numpy() for eps in SMALL], 1)
    found = critical.brute_force(model, x, y, attack, SMALL, size=64)
    np.testing.assert_array_equal(found.index, first_failing(fails))
    for i in (0, 50, 199):
        if found.index[i] < len(SMALL):
            moved = gradient_ascent.pgd(model, x[i : i + 1], y[i : i + 1], SMALL[found.index[i]])
            assert found.norm[i] == pytest.approx(float((moved - x[i]).norm()))


@pytest.mark.parametrize("power", [1.0, 4.5])
@pytest.mark.parametrize("kind", ["fgsm", "pgd", "margin", "recommended"])
def test_search_agrees_with_brute_force(power, kind):
    model, x, y = trained_like(power)
    if kind == "fgsm":
        attack = critical.fgsm(model, x, y)
    else:
        params = {"margin": PUBLISHED_MARGIN, "recommended": RECOMMENDED}.get(kind, gradient_ascent.PUBLISHED)
        attack = critical.pgd(model, x, y, params)
    slow = critical.brute_force(model, x, y, attack, SMALL)
    fast = critical.search(model, x, y, attack, SMALL, near=critical.guess(model, x, y, SMALL))
    assert (slow.index == fast.index).mean() >= 0.98
    assert (fast.index >= slow.index).all()  # a crossing, never below the first
    same = slow.index == fast.index
    np.testing.assert_allclose(fast.norm[same], slow.norm[same], rtol=1e-6)
    assert fast.attacks < 10


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_guess_is_exact_for_a_linear_model(norm):
    model, a = linear_model(classes=2)
    x, y = linear_images(model)
    expected = np.searchsorted(SMALL, linear_distance(model, a, x, y, norm).numpy()).clip(0, 59)
    np.testing.assert_array_equal(critical.guess(model, x, y, SMALL, norm), expected)


@pytest.mark.parametrize("norm", ["Linf", "L2", "linf "])
def test_a_norm_of_another_spelling_is_refused(norm):
    """It was taken for L2."""
    model, _ = linear_model(classes=2)
    with pytest.raises(ValueError, match=f"norm = '{norm}' is not known; choose linf or l2"):
        critical.guess(model, *linear_images(model), SMALL, norm)


def test_critical_strength_of_a_linear_model_is_its_distance():
    model, a = linear_model(classes=2)
    x, y = linear_images(model)
    found = critical.search(model, x, y, critical.fgsm(model, x, y, UNBOUNDED), SMALL)
    distance = linear_distance(model, a, x, y, "linf").numpy()
    reached = found.index < len(SMALL)
    assert (found.epsilon[reached] >= distance[reached]).all()
    below = np.append(0, SMALL)[found.index]
    assert (below <= distance).all()
    assert np.isinf(found.epsilon[~reached]).all()
    assert found.never == (~reached).sum()


def test_accuracy_assumes_no_monotony():
    fails = np.arange(50)[None] >= np.arange(20)[:, None] * 2
    model, x, y, attack, grid = scripted(fails)
    true = critical.accuracies(model, x, y, attack, grid)
    np.testing.assert_allclose(true, 1 - fails.mean(0))
    fails[:, 10] = False  # every image recovers for a moment
    assert critical.accuracies(*scripted(fails))[10] == 1


def test_only_correct_images_take_part():
    model, x, y = trained_like(1.0)
    mixed = torch.where(torch.arange(200) < 30, (y + 1) % 5, y)
    np.testing.assert_array_equal(critical.correct(model, x, mixed), np.arange(30, 200))
    with pytest.raises(ValueError, match="gets 30 of 200 images wrong"):
        critical.search(model, x, mixed, critical.fgsm(model, x, mixed))
    with pytest.raises(ValueError, match="none of 200 images correctly"):
        critical.correct(model, x, (y + 1) % 5)


def test_small_logits_are_no_ties():
    model, x, y = trained_like(1.0)
    with torch.no_grad():
        model.readout *= 1e-6
        model.bias *= 1e-6
    wrong = torch.where(torch.arange(200) < 30, (y + 1) % 5, y)
    with pytest.raises(ValueError, match="gets 30 of 200 images wrong"):
        critical.search(model, x, wrong, critical.fgsm(model, x, wrong))


@pytest.mark.parametrize("near", [np.zeros(3, int), np.full(200, 400), np.full(200, -1)])
def test_a_guess_off_the_grid_is_refused(near):
    model, x, y = trained_like(1.0)
    with pytest.raises(ValueError, match="near has shape .*; give an index from 0 to 399 for each image"):
        critical.search(model, x, y, critical.fgsm(model, x, y), near=near)


@pytest.mark.parametrize("grid", [[0.1, 0.05], [0.1, 0.1], [-0.1, 0.1], [0.1, np.nan], [0.1, np.inf], []])
def test_a_bad_grid_is_refused(grid):
    model, x, y = trained_like(1.0)
    with pytest.raises(ValueError, match="grid is not finite, non-negative and strictly ascending"):
        critical.search(model, x, y, critical.fgsm(model, x, y), np.array(grid))


# noise


def swept(power, count=5000, grid=NOISE_GRID, seed=100):
    model, x, y = trained_like(power)
    generator = torch.Generator().manual_seed(seed)
    draws = noise.pool(model, generator, count)
    return model, x, y, draws, noise.sweep(model, x, y, draws, generator, grid)


@pytest.mark.parametrize(
    ("power", "batch_norm", "size"), [(1.0, False, 64), (4.5, False, 64), (1.0, True, 64), (4.5, True, 500)]
)
def test_the_pool_is_noise_on_the_images(power, batch_norm, size):
    model, x, y = trained_like(power, batch_norm=batch_norm)
    draws = noise.pool(model, torch.Generator().manual_seed(3), 450)
    u = torch.randn(450, 30, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(draws.norms, u.norm(dim=1))
    found = noise.sweep(model, x, y, draws, torch.Generator().manual_seed(4), size=size)
    index = (np.arange(200)[:, None] + found.offsets) % 450
    fails = np.stack([attacks.wrong(model, x + eps * u[index[:, i]], y).numpy() for i, eps in enumerate(NOISE_GRID)], 1)
    np.testing.assert_array_equal(found.first.index, first_failing(fails))
    np.testing.assert_allclose(found.accuracy, 1 - fails.mean(0))
    failed = found.first.index < 400
    drawn = index[failed, found.first.index[failed]]
    expected = NOISE_GRID[found.first.index[failed]] * u.norm(dim=1).numpy()[drawn]
    np.testing.assert_allclose(found.first.norm[failed], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.half, noise.half_point(fails))


def test_a_pool_may_be_smaller_than_a_batch():
    model, x, y = trained_like(1.0)
    draws, grid = noise.pool(model, torch.Generator().manual_seed(3), 30), NOISE_GRID[::20]
    found = [noise.sweep(model, x, y, draws, torch.Generator().manual_seed(4), grid, size) for size in (10, 125)]
    np.testing.assert_array_equal(found[0].first.index, found[1].first.index)


def test_no_image_meets_a_draw_twice():
    *_, found = swept(1.0)
    assert len(set(found.offsets.tolist())) == 400


def test_the_pool_is_like_fresh_noise():
    model, x, y, _, found = swept(1.0)
    generator = torch.Generator().manual_seed(9)
    fails = np.stack([attacks.wrong(model, attacks.gaussian(x, eps, generator), y).numpy() for eps in NOISE_GRID], 1)
    fresh = first_failing(fails)
    assert ks_2samp(found.first.index, fresh).pvalue > 0.01
    assert abs(found.accuracy - (1 - fails.mean(0))).max() < 0.15
    # and per image: the logarithm of the first failure is the same but for the luck of the draws
    assert np.corrcoef(found.first.index, fresh)[0, 1] > 0.7


def test_half_point_is_isotonic_regression():
    generator = np.random.default_rng(0)
    strength = np.linspace(-3, 3, 80)
    fails = generator.random((50, 80)) < 1 / (1 + np.exp(-3 * (strength - generator.normal(size=(50, 1)))))
    fails[0], fails[1] = False, True
    half = noise.half_point(fails)
    for row, found in zip(fails, half, strict=True):
        curve = IsotonicRegression().fit_transform(np.arange(80), row.astype(float))
        # at a tie any split of the plateau at one half is as good
        assert found in range(int((curve < 0.5).sum()), int((curve <= 0.5).sum()) + 1)
    assert half[0] == 80
    assert half[1] == 0


def test_the_first_failure_comes_before_the_half_point():
    *_, found = swept(1.0)
    assert (found.first.index <= found.half).mean() > 0.99
    assert np.median(found.half - found.first.index) > 5


def test_a_small_pool_is_refused():
    model, x, y = trained_like(1.0)
    draws = noise.pool(model, torch.Generator(), 399)
    with pytest.raises(ValueError, match="399 vectors for 400 strengths"):
        noise.sweep(model, x, y, draws, torch.Generator())
    with pytest.raises(ValueError, match="count = 0"):
        noise.pool(model, torch.Generator(), 0)


@pytest.mark.slow
def test_on_photo_patches_as_on_paper(patches, x_patches):
    """Search against brute force on 200 real images and a network of 100 units."""
    model = models.init(TwoLayer(3072, 100, 10), torch.Generator().manual_seed(0)).eval()
    x = x_patches[:: len(x_patches) // 200][:200]
    with torch.no_grad():
        model.bias -= model(x).mean(0)
        y = model(x).argmax(1)
    grid = GRID[::4]
    attack = critical.pgd(model, x, y)
    slow = critical.brute_force(model, x, y, attack, grid)
    fast = critical.search(model, x, y, attack, grid, near=critical.guess(model, x, y, grid))
    assert (slow.index == fast.index).mean() >= 0.98
