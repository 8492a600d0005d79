import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioadv.data import checkpoints, files
from bioadv.network import kh_params, layer_health, products
from bioadv.network import local_learning as ll
from bioadv.network.kh_params import KHParams
from bioadv.network.states import Keeping

TINY = KHParams(hidden=12, batch=20, epochs=6, delta=0.2)


def tiny_images(count=100, inputs=15):
    x = torch.rand(count, inputs, generator=torch.Generator().manual_seed(3))
    return x / torch.linalg.vector_norm(x, 3, dim=1, keepdim=True)


@settings(max_examples=40, deadline=None)
@given(
    p=st.sampled_from([2.0, 2.5, 3.0, 4.0]),
    k=st.integers(2, 7),
    delta=st.sampled_from([0.0, 0.2, 0.4, 1.0]),
    radius=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_fast_step_is_the_definition(p, k, delta, radius, seed):
    params = KHParams(hidden=9, p=p, k=k, delta=delta, radius=radius, batch=8)
    generator = torch.Generator().manual_seed(seed)
    plain = ll.init(params, 7, generator, torch.float64)
    fast, m = plain.clone(), ll.metric(plain, p)
    for _ in range(5):
        x = torch.rand(8, 7, generator=generator, dtype=torch.float64)
        winners = (x @ ll.metric(plain, p).T).argmax(1)
        plain = ll.step_plain(plain, x, params, 0.02)
        assert torch.equal(ll.step(fast, m, x, params, 0.02), winners)
    torch.testing.assert_close(fast, plain, atol=1e-11, rtol=0)
    torch.testing.assert_close(m, ll.metric(fast, p), atol=0, rtol=0)


@pytest.mark.parametrize("library", products.LIBRARIES)
def test_large_products_give_the_same_step(monkeypatch, generator, library):
    """The library that large float32 products go to gives x M^T, to single precision, and so the same step."""
    params = KHParams(hidden=40, batch=60)
    w = ll.init(params, 500, generator)
    m, x = ll.metric(w, params.p), torch.rand(60, 500, generator=generator)
    exact, small = x.double() @ m.double().T, ll.responses(x, m)
    assert torch.equal(small, x @ m.T)
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "library", lambda: library)
    large = ll.responses(x, m)
    assert large.dtype == torch.float32
    assert not large.is_mkldnn
    torch.testing.assert_close(large.double(), exact, rtol=0, atol=3e-6 * float(exact.abs().max()))
    plain = ll.step_plain(w, x, params, 0.02)
    ll.step(w, m, x, params, 0.02)
    torch.testing.assert_close(w, plain, rtol=0, atol=1e-5)


def test_step_by_hand():
    """Two units, one image, p = 2: the change can be written down."""
    w = torch.tensor([[1.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    x = torch.tensor([[0.6, 0.8]], dtype=torch.float64)  # responses 0.6 and 0.4: unit 0 wins, unit 1 is second
    params = KHParams(hidden=2, p=2, k=2, delta=0.5, batch=1)
    # unit 0: (0.6, 0.8) - 0.6 (1, 0) = (0, 0.8); unit 1: -0.5 (0.6, 0.8) + 0.5 * 0.4 (0, 0.5) = (-0.3, -0.3)
    expected = w + 0.1 * torch.tensor([[0.0, 0.8], [-0.3, -0.3]], dtype=torch.float64) / 0.8
    torch.testing.assert_close(ll.step_plain(w, x, params, 0.1), expected)
    ll.step(w, ll.metric(w, 2.0), x, params, 0.1)
    torch.testing.assert_close(w, expected)


def test_largest_change_is_the_learning_rate(generator):
    params = KHParams(hidden=30, batch=50)
    w = ll.init(params, 20, generator, torch.float64)
    before = w.clone()
    ll.step(w, ll.metric(w, 3.0), torch.rand(50, 20, generator=generator, dtype=torch.float64), params, 0.017)
    assert float((w - before).abs().max()) == pytest.approx(0.017, rel=1e-12)


def test_only_ranks_one_and_k_change(generator):
    params = KHParams(hidden=10, k=4, batch=1)
    w = ll.init(params, 8, generator, torch.float64)
    x = torch.rand(1, 8, generator=generator, dtype=torch.float64)
    ranking = (x @ ll.metric(w, 3.0).T).argsort(descending=True)[0]
    before = w.clone()
    ll.step(w, ll.metric(w, 3.0), x, params, 0.01)
    changed = (w != before).any(1).nonzero()[:, 0].tolist()
    assert sorted(changed) == sorted([int(ranking[0]), int(ranking[3])])


def test_no_change_does_not_divide_by_zero():
    params = KHParams(hidden=2, p=2, delta=0, batch=1)
    w = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    x = torch.tensor([[1.0, 0.0]])  # the winner already is the image, so D = 0
    ll.step(w, ll.metric(w, 2.0), x, params, 0.02)
    assert torch.equal(w, torch.tensor([[1.0, 0.0], [0.0, -1.0]]))


def test_schedule_is_the_published_one():
    rates = [ll.learning_rate(kh_params.PAPER_CIFAR10, epoch) for epoch in (1, 500, 1000)]
    assert rates == pytest.approx([0.02 * 0.999, 0.01, 0.0])


def test_paper_parameters():
    """Of the public code, ``llearn_CIFAR.py`` and ``llearn_MNIST.py``."""
    cifar = (
        kh_params.PAPER_CIFAR10.p,
        kh_params.PAPER_CIFAR10.k,
        kh_params.PAPER_CIFAR10.delta,
        kh_params.PAPER_CIFAR10.rate,
    )
    assert cifar == (3, 2, 0.4, 0.02)
    assert (kh_params.PAPER_CIFAR10.hidden, kh_params.PAPER_CIFAR10.batch, kh_params.PAPER_CIFAR10.epochs) == (
        2000,
        1000,
        1000,
    )
    assert (kh_params.PAPER_MNIST.k, kh_params.PAPER_MNIST.rate, kh_params.PAPER_MNIST.batch) == (7, 0.04, 100)


def test_norms_converge_and_the_layer_lives(x_patches):
    params = replace(kh_params.LIVE["photo-patches"], hidden=20, epochs=100)
    layer = ll.train(x_patches, params, torch.Generator().manual_seed(0), progress=False)
    alive = layer_health.health(layer.synapses, x_patches, params)
    assert alive.converged >= 0.9
    assert alive.live >= 0.95
    assert alive.winning >= 0.5
    assert layer.history["converged"][-1] == pytest.approx(alive.converged)


def test_health_sees_death():
    params = KHParams(hidden=3, p=2, batch=4)
    w = torch.tensor([[1.0, 0.0], [-1.0, -0.1], [0.5, 0.5]])
    x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2]])
    alive = layer_health.health(w, x, params)
    assert alive.alive.tolist() == [True, False, True]
    assert alive.wins.tolist() == [3, 0, 0]
    assert (alive.live, alive.winning) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert alive.converged == pytest.approx(2 / 3)  # norms 1, 1.005 and 0.71
    np.testing.assert_allclose(alive.mean_weight, [0.5, -0.55, 0.5])


def test_same_seed_same_layer_and_other_seed_another():
    x = tiny_images()
    first, again, other = (
        ll.train(x, TINY, torch.Generator().manual_seed(seed), progress=False).synapses for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resumed_training_ends_with_the_same_weights(tmp_path, monkeypatch, stop):
    x, file = tiny_images(), tmp_path / "kh.safetensors"
    whole = ll.train(x, TINY, torch.Generator().manual_seed(5), progress=False)

    class StoppedError(Exception):
        pass

    written = []
    original = checkpoints.write

    def stopping(*args, **kwargs):
        original(*args, **kwargs)
        written.append(kwargs["epoch"])
        if len(written) == stop:
            raise StoppedError

    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(checkpoints, "write", stopping)
        ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file, 1), progress=False)
    resumed = ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file, 1), progress=False)
    assert torch.equal(resumed.synapses, whole.synapses)
    for name in ll.HISTORY:
        np.testing.assert_array_equal(resumed.history[name], whole.history[name])


def test_finished_checkpoint_is_just_read(tmp_path):
    x, file = tiny_images(), tmp_path / "kh.safetensors"
    first = ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
    before = file.stat().st_mtime_ns
    again = ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
    assert torch.equal(first.synapses, again.synapses)
    assert file.stat().st_mtime_ns == before


def test_training_is_the_plain_steps_in_the_published_order():
    """Initial synapses, shuffled batches, and a rate that falls to 0 in the last epoch, written out."""
    params, x = replace(TINY, epochs=3, init_mean=0.5, init_std=2.0), tiny_images()
    trained = ll.train(x, params, torch.Generator().manual_seed(5), progress=False)
    generator = torch.Generator().manual_seed(5)
    w = 0.5 + 2.0 * torch.randn(params.hidden, x.shape[1], generator=generator)
    for rate in (params.rate * 2 / 3, params.rate / 3, 0.0):
        for chosen in torch.randperm(len(x), generator=generator).split(params.batch):
            w = ll.step_plain(w, x[chosen], params, rate)
    torch.testing.assert_close(trained.synapses, w, atol=1e-5, rtol=0)


CHILD = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from tests.test_local_learning import TINY, tiny_images
from bioadv.data import checkpoints
from bioadv.network import local_learning as ll
from bioadv.network.states import Keeping
from dataclasses import replace
torch.set_num_threads(1)
read = checkpoints.read
def told(*given):
    state = read(*given)
    print(state[1], flush=True)
    return state
checkpoints.read = told
print("ready", flush=True)
params, generator = replace(TINY, epochs=400), torch.Generator().manual_seed(5)
ll.train(tiny_images(), params, generator, keeping=Keeping(sys.argv[1], 1), progress=False)
print("done", flush=True)
"""


def test_killed_at_random_moments_nothing_is_lost(tmp_path):
    file = tmp_path / "kh.safetensors"
    root = os.path.dirname(os.path.dirname(__file__))
    rng = np.random.default_rng()
    reached = 0
    for attempt in range(4):
        child = subprocess.Popen([sys.executable, "-c", CHILD, file, root], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        if attempt < 3:
            while child.poll() is None and (not file.exists() or files.read_tensors(file)[1]["epoch"] <= reached):
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.05))
            child.send_signal(signal.SIGKILL)
        printed = child.communicate()[0].split()
        if reached:  # it did not begin anew
            assert int(printed[0]) >= reached
        reached = int(files.read_tensors(file)[1]["epoch"])
    assert printed[-1] == "done"
    killed = files.read_tensors(file)[0]["synapses"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = ll.train(tiny_images(), replace(TINY, epochs=400), torch.Generator().manual_seed(5), progress=False)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(killed, whole.synapses)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 1}, "k = 1.*from 2 to"),
        ({"k": 13, "hidden": 12}, "k = 13.*hidden = 12"),
        ({"p": 0.5}, "p = 0.5.*p >= 1"),
        ({"p": float("nan")}, "p = nan"),
        ({"delta": -0.1}, "delta = -0.1.*>= 0"),
        ({"radius": 0}, "radius = 0"),
        ({"rate": 0}, "rate = 0"),
        ({"epochs": 1}, "epochs = 1.*rate 0.*at least 2"),
        ({"batch": 0}, "batch = 0"),
        ({"hidden": 1}, "hidden = 1.*compete"),
        ({"init_std": -1}, "init_std = -1"),
    ],
)
def test_bad_parameters_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        KHParams(**change)


def test_bad_images_are_refused(generator):
    x = tiny_images()
    with pytest.raises(ValueError, match=r"x has shape \(15,\).*\(N, D\)"):
        ll.train(x[0], TINY, generator, progress=False)
    x[3, 3] = torch.nan
    with pytest.raises(ValueError, match="x .* holds NaN"):
        ll.train(x, TINY, generator, progress=False)
    with pytest.raises(ValueError, match="every = 0"):
        ll.train(tiny_images(), TINY, generator, Keeping(every=0))


def test_foreign_checkpoints_are_refused_and_kept(tmp_path):
    x, file = tiny_images(), tmp_path / "kh.safetensors"
    ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
    content = file.read_bytes()

    def refuse(match, images=x, params=TINY, seed=5):
        with pytest.raises(ValueError, match=match):
            ll.train(images, params, torch.Generator().manual_seed(seed), keeping=Keeping(file), progress=False)

    refuse("made with delta = 0.2, this run has 0.3", params=replace(TINY, delta=0.3))
    refuse("made with seed = 5, this run has 6", seed=6)
    refuse("made with images = ", images=x.flip(0))
    assert file.read_bytes() == content
    file.write_bytes(content[: len(content) // 2])
    refuse("truncated, damaged or was not written by bioadv.*delete")
    files.write_tensors(file, {"other": torch.zeros(2)})
    refuse("not a checkpoint of local learning")


@pytest.mark.parametrize(
    ("tensors", "about", "words"),
    [
        ({"synapses": None}, {}, "lacks synapses"),
        ({"synapses": torch.zeros(12, 7)}, {}, r"has synapses as torch.float32 \(12, 7\), this run as"),
        ({"synapses": torch.zeros(1).double()}, {}, "has synapses as torch.float64"),
        ({"norm": None}, {}, "lacks norm"),
        ({"norm": torch.zeros(2).double()}, {}, "has norm as"),
        ({"other": torch.zeros(2)}, {}, "has, unlike this run, other"),
        ({"generator": torch.zeros(7, dtype=torch.uint8)}, {}, "was made on another kind of device"),
        ({}, {"epoch": TINY.epochs + 1}, "is of epoch 7, this run has epochs 1 to 6"),
        ({}, {"epoch": -1}, "is of epoch -1"),
        ({}, {"epoch": True}, "is of epoch True"),
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, tensors, about, words):
    x, file = tiny_images(), tmp_path / "kh.safetensors"
    ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
    kept, header = files.read_tensors(file)
    kept = {name: tensor for name, tensor in (kept | tensors).items() if tensor is not None}
    files.write_tensors(file, kept, **{**header, **about})
    with pytest.raises(ValueError, match=rf"kh\.safetensors {words}.*(delete|give)"):
        ll.train(x, TINY, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)


def test_live_parameters_depend_on_the_dataset():
    assert kh_params.live_params("cifar10", 50_000).epochs == 40
    assert kh_params.live_params("photo-patches", 5000) == kh_params.LIVE["photo-patches"]
    assert kh_params.live_params("mine.npz", 2000).epochs == 500


def test_cifar10_layer_learns(cifar10):
    """Three epochs at the paper's size, on real images: norms fall, the last epoch has rate 0, many units win."""
    from bioadv.data.datasets import unit_lp

    x = unit_lp(cifar10.train.first(5000))
    layer = ll.train(x, replace(kh_params.PAPER_CIFAR10, epochs=3), torch.Generator().manual_seed(0), progress=False)
    norm = layer.history["norm"]
    assert norm[2] == norm[1] < norm[0] < 16.99
    assert 0.02 < layer.history["winning"][1] < 0.5


def test_images_need_not_be_contiguous(tmp_path):
    x = tiny_images()
    turned = x.T.contiguous().T
    found = [
        ll.train(images, TINY, torch.Generator().manual_seed(0), keeping=Keeping(tmp_path / name), progress=False)
        for name, images in (("a", x), ("b", turned))
    ]
    torch.testing.assert_close(found[0].synapses, found[1].synapses)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 2.5, 3.0])
def test_a_synapse_of_zero_has_a_metric_of_zero(p):
    w = torch.tensor([0.0, 4.0, -4.0])
    torch.testing.assert_close(ll.metric(w, p), torch.tensor([0.0, 4 ** (p - 1), -(4 ** (p - 1))]))
