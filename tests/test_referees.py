from dataclasses import replace

import numpy as np
import pytest
import torch

from bioadv.data.datasets import unit_lp
from bioadv.lab import probe_referees
from bioadv.measure import attack_libraries, referees
from bioadv.network import models
from bioadv.network.models import TwoLayer

if attack_libraries.missing():
    pytest.skip(f"{' and '.join(attack_libraries.missing())}: not installed (extra referees)", allow_module_level=True)

INPUTS, CLASSES, COUNT = 48, 4, 20
SHAPE = (4, 4, 3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Products this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def oracle():
    """A linear classifier on images inside the box: M = I passes positive pixels through, so z = V x + b.

    Returns the model, images, labels, and the minimal L2 and L-infinity distances in closed form: over the other
    classes c, the least (z_y - z_c) / ||v_y - v_c||, in the L2 norm and in the L1 norm, which is dual to L-infinity.
    """
    generator = torch.Generator().manual_seed(5)
    model = TwoLayer(INPUTS, INPUTS, CLASSES).eval()
    x = 0.3 + 0.2 * torch.rand(COUNT, INPUTS, generator=generator)
    with torch.no_grad():
        model.hidden.copy_(torch.eye(INPUTS))
        model.readout.normal_(0, 20, generator=generator)  # confident: cross-entropy then points to one class
        model.bias.copy_(-0.4 * model.readout.sum(1))
        z = model(x)
        y = z.argmax(1)
        difference = model.readout[y][:, None] - model.readout  # (N, C, D)
        gap = z.gather(1, y[:, None]) - z  # (N, C)
        own = torch.nn.functional.one_hot(y, CLASSES).bool()
        nearest = [
            (gap / torch.linalg.vector_norm(difference, dual, dim=2)).masked_fill(own, torch.inf).amin(1)
            for dual in (2, 1)
        ]
    keep = nearest[0] > 0.01  # closer than that, what counts is the attack's arithmetic
    return model, x[keep], y[keep], nearest[0][keep], nearest[1][keep]


def misclassified(model, images, y):
    with torch.no_grad():
        return model(images).argmax(1) != y


def test_ddn_finds_the_minimal_l2_distance(oracle):
    model, x, y, l2, _ = oracle
    found = referees.ddn(model, x, y, steps=150)
    assert found.found.all()
    assert misclassified(model, found.images, y).all()
    ratio = found.norms(x) / l2
    assert ratio.min() > 0.9999
    assert ratio.median() < 1.05
    assert ratio.max() < 1.3


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_finds_the_minimal_linf_distance(oracle, loss):
    model, x, y, _, linf = oracle
    found = referees.apgd(model, x, y, loss, low=1e-4, high=0.5, rounds=8, steps=15)
    assert found.found.all()
    assert misclassified(model, found.images, y).all()
    ratio = found.norms(x, torch.inf) / linf
    assert ratio.min() > 0.999
    assert ratio.median() < 1.05
    assert ratio.max() < 1.5


def test_hop_skip_jump_comes_close_without_gradients(oracle):
    model, x, y, l2, _ = oracle
    x, y, l2 = x.repeat(3, 1), y.repeat(3), l2.repeat(3)
    pool = 0.3 + 0.2 * torch.rand(200, INPUTS, generator=torch.Generator().manual_seed(1))
    starts = referees.starting_points(model, x, y, pool)
    found = referees.hop_skip_jump(model, x, y, starts, steps=12, gamma=1.0)
    assert found.found.all()
    assert misclassified(model, found.images, y).all()
    ratio = found.norms(x) / l2
    assert ratio.min() > 0.9999
    # With the library's norms over the batch, of the probes or of the gradient, the median is 1.05 and more here.
    assert ratio.median() < 1.03
    assert (found.norms(x) <= (starts - x).norm(dim=1)).all()


def test_square_never_beats_the_distance_and_is_monotone(oracle):
    model, x, y, _, linf = oracle
    epsilons = [0.001, 0.02, 0.3]
    success = referees.square(model, x, y, SHAPE, epsilons, queries=100)
    assert success.shape == (3, len(x))
    assert not (success & (torch.tensor(epsilons)[:, None] < 0.999 * linf)).any()
    assert (success[1:] >= success[:-1]).all()
    assert success[-1].all()
    easy = linf < 0.5 * torch.tensor(epsilons)[:, None]
    assert success[easy].float().mean() > 0.8


def test_square_sees_pixels_where_they_are(monkeypatch):
    """Only one pixel's green channel decides; what is wrongly laid out finds another one."""
    height, width, channels = SHAPE
    model = TwoLayer(INPUTS, INPUTS, 2).eval()
    with torch.no_grad():
        model.hidden.copy_(torch.eye(INPUTS))
        model.readout[1, (2 * width + 3) * channels + 1] = 1.0
        model.bias[0] = 0.55
    x, y = torch.full((3, INPUTS), 0.5), torch.zeros(3, dtype=torch.long)
    seen = []
    original = TwoLayer.forward
    monkeypatch.setattr(TwoLayer, "forward", lambda self, images: seen.append(images.clone()) or original(self, images))
    assert referees.square(model, x, y, SHAPE, [0.1], queries=50).all()
    # The attack starts with vertical stripes: in our layout (height, width, channel) rows are then all the same.
    stripes = seen[2].reshape(3, height, width, channels)
    torch.testing.assert_close(stripes, stripes[:, :1].expand_as(stripes))
    assert stripes.std() > 0.05


@pytest.mark.parametrize("attack", ["ddn", "apgd", "hop_skip_jump", "square"])
def test_a_seed_gives_the_same_result_and_leaves_torch_alone(oracle, attack):
    model, x, y, _, _ = oracle
    x, y = x[:4], y[:4]
    run = {
        "ddn": lambda: referees.ddn(model, x, y, steps=10).images,
        "apgd": lambda: referees.apgd(model, x, y, rounds=2, steps=5).images,
        "hop_skip_jump": lambda: (
            referees.hop_skip_jump(
                model, x, y, referees.starting_points(model, x, y, oracle[1]), steps=2, evaluations=10
            ).images
        ),
        "square": lambda: referees.square(model, x, y, SHAPE, [0.02, 0.1], queries=10).float(),
    }[attack]
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = run()
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    torch.testing.assert_close(run(), first, rtol=0, atol=0)


def test_what_cannot_be_broken_is_infinite(oracle):
    """A model that gives every image the same class: no attack may claim a success."""
    model = TwoLayer(INPUTS, 5, 3).eval()
    with torch.no_grad():
        model.bias[1] = 1.0
    x, y = oracle[1][:3], torch.ones(3, dtype=torch.long)
    for found in (referees.ddn(model, x, y, steps=5), referees.apgd(model, x, y, rounds=2, steps=5)):
        assert not found.found.any()
        assert torch.isinf(found.norms(x)).all()
        torch.testing.assert_close(found.images, x)
    assert not referees.square(model, x, y, SHAPE, [0.1], queries=5).any()
    with pytest.raises(ValueError, match="none of its 3 images is in another class"):
        referees.starting_points(model, x, y, x)


def test_starting_points_are_the_nearest_of_another_class(oracle):
    model, x, y, _, _ = oracle
    pool = torch.rand(50, INPUTS, generator=torch.Generator().manual_seed(2))
    starts = referees.starting_points(model, x, y, pool)
    assert misclassified(model, starts, y).all()
    other = [pool[misclassified(model, pool, label.expand(50))] for label in y]
    for image, start, candidates in zip(x, starts, other, strict=True):
        assert (start - image).norm() <= (candidates - image).norm(dim=1).min() * 1.0001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": lambda x: x - 1}, "give finite pixels within"),
        ({"x": lambda x: torch.full_like(x, torch.nan)}, "NaN or infinite"),
        ({"x": lambda x: x[:3]}, "give one int64 label per image"),
        ({"y": lambda y: (y + 1) % CLASSES}, "misclassified unperturbed"),
        ({"model": lambda m: m.train()}, "in training mode"),
    ],
)
def test_bad_input_is_refused(oracle, change, words):
    model, x, y, _, _ = oracle
    given = {"model": model, "x": x, "y": y}
    (name,) = change
    given[name] = change[name](given[name])
    try:
        with pytest.raises(ValueError, match=words):
            referees.ddn(**given)
    finally:
        model.eval()


def test_a_model_of_nan_is_refused(oracle):
    model = models.init(TwoLayer(INPUTS, 5, 3), torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        referees.apgd(model, oracle[1], oracle[2] % 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x, y: referees.apgd(m, x, y, loss="margin"), "loss = 'margin'.*ce or dlr"),
        (lambda m, x, y: referees.apgd(m, x, y, low=0.2, high=0.1), "0 < low < high"),
        (lambda m, x, y: referees.square(m, x, y, SHAPE, [0.2, 0.1]), "give rising numbers"),
        (lambda m, x, y: referees.square(m, x, y, SHAPE, []), "give rising numbers"),
        (lambda m, x, y: referees.hop_skip_jump(m, x, y, x), "have the class of their image"),
        (lambda m, x, y: referees.hop_skip_jump(m, x, y, x[:2]), "starts has shape"),
    ],
)
def test_bad_options_are_refused(oracle, call, words):
    with pytest.raises(ValueError, match=words):
        call(*oracle[:3])


def test_the_probe_keeps_what_the_referees_found(patches):
    """A model that tells bright images from dark ones; every attack runs a few steps on a few images."""
    images = patches.test
    model = models.init(TwoLayer(3072, 8, 10), torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.hidden.abs_()
        model.readout[:2] = torch.tensor([[0.1], [-0.1]])
        middle = model.before(unit_lp(images)).sum(1).median()
        model.bias[:2] = 0.1 * torch.stack([-middle, middle])
        model.bias[2:] = -1e3
    decisions = models.in_batches(model, unit_lp(images)).argmax(1).numpy()
    relabelled = replace(images, labels=np.where(np.arange(len(images)) % 3 == 0, 1 - decisions, decisions))
    data = replace(patches, test=relabelled)
    settings = {
        "images": 12,
        "seed": 0,
        "ddn": {"steps": 60},
        "apgd": {"low": 1e-4, "high": 0.5, "rounds": 3, "steps": 5},
        "square": {"images": 4, "epsilons": [1e-6, 0.5], "queries": 20},
        "hop_skip_jump": {"images": 3, "steps": 2, "evaluations": 10, "gamma": 10.0, "pool": 100},
    }
    found = probe_referees.measure_referees(model, data, settings, False)
    assert (found["index"] % 3 != 0).all()
    assert (decisions[found["index"]] == relabelled.labels[found["index"]]).all()
    assert {name: len(values) for name, values in found.items() if name.endswith(("_l2", "_linf"))} == {
        **dict.fromkeys(("ddn_l2", "apgd_ce_linf", "apgd_ce_l2", "apgd_dlr_linf", "apgd_dlr_l2"), 12),
        "square_linf": 4,
        "hop_skip_jump_l2": 3,
    }
    assert np.isfinite(found["ddn_l2"]).mean() > 0.5
    assert np.isfinite(found["apgd_ce_l2"]).mean() > 0.5
    assert not (np.isfinite(found["apgd_ce_linf"]) & (found["apgd_ce_linf"] > 0.5 * 1.0001)).any()
    assert set(found["square_linf"]) <= {np.float32(1e-6), np.float32(0.5), np.float32(np.inf)}
    assert np.isfinite(found["hop_skip_jump_l2"]).all()
    assert [text.split()[0] for text in found["libraries"]] == list(attack_libraries.LIBRARIES)
