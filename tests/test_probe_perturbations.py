import copy

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bioadv.data.datasets import Dataset, Images, ceiling, unit_lp
from bioadv.lab import probe_perturbations
from bioadv.measure import attacks, certificates, critical, gradient_ascent
from bioadv.measure.critical import GRID
from bioadv.measure.gradient_ascent import PUBLISHED_MARGIN, RECOMMENDED, RECOMMENDED_L2
from bioadv.network import models
from bioadv.network.models import TwoLayer
from bioadv.pages import plots_frontier, plots_robustness

SETTINGS = {**probe_perturbations.PERTURBATIONS, "pool": 400, "subset": 30, "few": 20, "every": 40}


@pytest.fixture(scope="module")
def subject():
    """A small random network and images, some of which it decides correctly."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (80, 4, 4, 3), dtype=torch.uint8, generator=generator).numpy()
    model = models.init(TwoLayer(48, 30, 3, 4.5), generator).eval()
    unlabelled = Images(pixels, np.zeros(80, int), ("a", "b", "c"), "tiny")
    with torch.no_grad():
        model.hidden *= 3
        model.bias -= model(unit_lp(unlabelled)).mean(0)
        labels = model(unit_lp(unlabelled)).argmax(1)
    labels[:10] = (labels[:10] + 1) % 3
    images = Images(pixels, labels.numpy(), ("a", "b", "c"), "tiny")
    return model, Dataset("tiny", images, images)


@pytest.fixture(scope="module")
def arrays(subject):
    measured = {}
    for measure in probe_perturbations.MEASURES.values():
        measured |= measure(*subject, SETTINGS, False)
    return measured


def test_what_is_measured_is_what_the_package_says(subject, arrays):
    model, data = subject
    x, y = unit_lp(data.test), torch.tensor(data.test.labels)
    right = torch.from_numpy(arrays["images"]).long()
    np.testing.assert_array_equal(np.sort(right), np.arange(10, 80))
    assert (right.diff() < 0).any(), "the first images are no random sample"
    assert arrays["accuracy"] == 70 / 80
    np.testing.assert_allclose(arrays["image_norm"], x[right].norm(dim=1), rtol=1e-6)
    chosen = model, x[right], y[right]
    slow = critical.brute_force(*chosen, critical.pgd(*chosen))
    assert (arrays["pgd_index"] == slow.index).mean() > 0.95
    subset = model, x[right][:30], y[right][:30]
    slow = critical.brute_force(*subset, critical.pgd(*subset, PUBLISHED_MARGIN))
    assert (arrays["margin_index"] == slow.index).mean() > 0.95
    true = critical.accuracies(*chosen, critical.fgsm(*chosen), GRID[arrays["points"]])
    np.testing.assert_allclose(arrays["fgsm_accuracy"], true, atol=1e-6)


def test_the_stronger_attacks_are_what_the_package_says(subject, arrays):
    """With a ceiling of its own for each image: the wrong image's would be another perturbation."""
    model, data = subject
    right = torch.from_numpy(arrays["images"][:20]).long()
    x, y = unit_lp(data.test)[right], torch.tensor(data.test.labels)[right]
    box = (0.0, ceiling(data.test)[right])
    for name, params, grid in (("recommended", RECOMMENDED, GRID), ("l2", RECOMMENDED_L2, critical.L2_GRID)):
        # Random starts are drawn for all images of the probe at once.
        begin = gradient_ascent.start(
            params, torch.zeros(len(arrays[f"{name}_index"]), 48), torch.Generator().manual_seed(critical.SEED)
        )[:20]
        slow = critical.brute_force(
            model,
            x,
            y,
            lambda i, eps, p=params, b=begin: gradient_ascent.pgd(model, x[i], y[i], eps, p, (0.0, box[1][i]), b[i]),
            grid,
        )
        assert (arrays[f"{name}_index"][:20] == slow.index).mean() > 0.9, name
    assert arrays["recommended_far_accuracy"][-1] <= arrays["recommended_far_accuracy"][0]
    assert len(x) == SETTINGS["few"]
    moved = attacks.fgsm(model, x, y, SETTINGS["far"][1])
    share = (model(moved).argmax(1) == y).float().mean()
    assert arrays["fgsm_far_accuracy"][1] == pytest.approx(float(share), abs=1e-6)


def test_certificates_are_those_of_the_images(subject, arrays):
    model, data = subject
    right = torch.from_numpy(arrays["images"][:30]).long()
    x, y = unit_lp(data.test).double()[right], torch.tensor(data.test.labels)[right]
    for norm in ("l2", "linf"):
        radius = certificates.certified_radius(copy.deepcopy(model).double(), x, y, norm)
        np.testing.assert_allclose(arrays[f"certified_{norm}"], radius, rtol=1e-6)


def test_the_summary_is_of_the_right_arrays():
    """By hand: grid indices, and norms that no other array has."""
    found = {
        "accuracy": np.array(0.75),
        **{f"{kind}_norm": np.array([value, value, np.nan]) for kind, value in (("noise", 1), ("fgsm", 2), ("pgd", 3))},
        "noise_index": np.array([100, 100, 100]),
        "noise_half": np.array([120, 120, 120]),
        "pgd_index": np.array([200, 200, 300]),  # the last is none of the subset
        "margin_index": np.array([190, 190]),
        "zero_gradients": np.array(4),
        "saturated": np.array(5),
        "recommended_far_accuracy": np.array([0.5, 0.25]),
        "certified_l2": np.array([0.1, 0.2, 0.6]),
        "l2_index": np.array([50, 60, 400]),
    }
    numbers = probe_perturbations.summary(found)
    assert numbers == pytest.approx(
        {
            "accuracy": 0.75,
            "noise": 1,
            "fgsm": 2,
            "pgd": 3,
            "zero": 4,
            "saturated": 5,
            "loss": (GRID[1] / GRID[0]) ** 10,
            "left": 0.25,
            "half": (critical.NOISE_GRID[1] / critical.NOISE_GRID[0]) ** 20,
            "certified": 0.2,
            "attacked": critical.L2_GRID[60],
        }
    )


def test_certificates_lie_below_attacks(arrays):
    attacked = np.append(critical.L2_GRID, np.inf)[arrays["l2_index"]]
    assert (arrays["certified_l2"] < attacked).all()
    assert (arrays["certified_linf"] < np.append(GRID, np.inf)[arrays["recommended_index"]]).all()
    assert arrays["certified_l2"].shape == (30,)


def test_the_file_stays_small(arrays):
    """Bytes per image, so that a run on ten thousand images stays below 400 kB."""
    assert sum(array.nbytes for array in arrays.values() if len(array.shape) and len(array) == 70) <= 40 * 70


def test_figures(arrays):
    grid = np.append(critical.L2_GRID, np.inf)
    attacked = {"kh": grid[arrays["l2_index"]], "bp": grid[arrays["l2_index"]]}
    certified = {"kh": arrays["certified_l2"], "bp": arrays["certified_l2"]}
    curve = GRID[arrays["points"]], arrays["pgd_accuracy"]
    drawn = [
        plots_robustness.sweeps(
            {"PGD": {"kh": [curve, curve], "bp": [curve]}},
            {"PGD": {"kh": [arrays["pgd_norm"], arrays["pgd_norm"]], "bp": [arrays["pgd_norm"]]}},
            seeds=True,
        ),
        plots_robustness.first_and_half(certified, attacked, 0.1),
        plots_robustness.compared({"kh": (attacked["kh"], certified["kh"])}, ("a", "b"), ""),
        plots_robustness.brackets(certified, attacked, "radius"),
        plots_frontier.accuracy_and_norm({"PGD": {"kh": [(0.5, 0.1)]}}, {"PGD": {"kh": (0.47, 0.12)}}),
        plots_frontier.frontier(
            {"PGD": {"short-l2-1": [(0.5, 0.1), (0.52, 0.1)], "short-l2-2": [(0.4, 0.2)]}},
            {"PGD": {"kh": [(0.47, 0.12)]}},
            {"PGD": {"jreg": [(0.5, 0.1)]}},
        ),
        plots_robustness.absolute_accuracy({"kh": curve}, {"kh": curve}),
        plots_robustness.masking({"kh": {"PGD": curve, "search": curve}}),
        plots_robustness.perturbed_images({"kh": (np.zeros((4, 4, 3)), np.ones((4, 4, 3)))}, {"kh": ("a", "b")}),
    ]
    for figure in drawn:
        assert isinstance(figure, Figure)
        figure.draw_without_rendering()
