"""What a careless call of a public function is told, instead of a number that means nothing."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from bioadv.data import checkpoints, datasets, files
from bioadv.data.moments import of_batches
from bioadv.lab import numbers, runs, scales, study
from bioadv.measure import (
    alignment,
    attack_libraries,
    attacks,
    certificates,
    gradient_ascent,
    landscapes,
    noise,
    powerlaw,
    referees,
    smallest,
    spectra,
)
from bioadv.measure.gradient_ascent import PGD, RECOMMENDED
from bioadv.network import kh_params, layer_health, local_learning, models, pruning, readout, training
from bioadv.network.models import TwoLayer, frozen, init
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, LogitJacobian, Penalty
from bioadv.network.spectral_penalty import Spectral
from bioadv.network.states import Keeping

NOBODY: Any = None  # for a generator
RECIPE = Recipe("constant", epochs=2, batch=20)
PARAMS = kh_params.KHParams(hidden=8, epochs=2, batch=20)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed=1, batch_norm=False):
    return init(TwoLayer(6, 8, 3, batch_norm=batch_norm), gen(seed)).eval()


@pytest.fixture
def images():
    x = torch.rand(40, 6, generator=gen())
    return x, torch.arange(40) % 3


def fit(model, x, y, recipe=RECIPE, seed=2, **more):
    return training.fit(model, x, y, recipe, gen(seed), progress=False, **more)


DRAWS = {
    "init": lambda x, y: init(network(), NOBODY),
    "start": lambda x, y: gradient_ascent.start(PGD(), x, NOBODY),
    "gaussian": lambda x, y: attacks.gaussian(x, 0.1, NOBODY),
    "random_plane": lambda x, y: landscapes.random_plane(x[0], NOBODY),
    "bootstrap": lambda x, y: spectra.bootstrap(x, lambda values: values[:1], 3, NOBODY),
    "adam": lambda x, y: readout.adam((torch.zeros(3, 6), torch.zeros(3)), x, y, [1], 20, NOBODY),
    "noise": lambda x, y: datasets.gaussian_noise(3, 6, NOBODY),
    "pool": lambda x, y: noise.pool(network(), NOBODY, 5),
    "fit": lambda x, y: training.fit(network(), x, y, RECIPE, NOBODY, progress=False),
    "local learning": lambda x, y: local_learning.train(x, PARAMS, NOBODY, progress=False),
}


@pytest.mark.parametrize("call", DRAWS.values(), ids=DRAWS)
def test_no_function_draws_from_the_global_stream(call, images):
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"generator = None; give torch.Generator\(\).manual_seed"):
        call(*images)
    assert torch.equal(torch.get_rng_state(), before)


WHOLE = {
    "accuracy": lambda x, y: training.accuracy(network(), x, y),
    "fit": lambda x, y: fit(network(), x, y),
    "fgsm": lambda x, y: attacks.fgsm(network(), x, y, 0.3),
    "moments": lambda x, y: spectra.moments(x),
    "local learning": lambda x, y: local_learning.train(x, PARAMS, gen(), progress=False),
    "readouts": lambda x, y: readout.path(x, y, [1.0], 3),
}


@pytest.mark.parametrize("call", WHOLE.values(), ids=WHOLE)
def test_whole_numbers_and_arrays_are_no_images(call, images):
    x, y = images
    with pytest.raises(ValueError, match=r"has dtype torch.uint8; give floating-point numbers"):
        call((255 * x).to(torch.uint8), y)
    if call is not WHOLE["moments"]:  # batches of arrays
        with pytest.raises(ValueError, match=r"is a ndarray; give a tensor, such as torch.from_numpy\(array\)"):
            call(x.numpy(), y)


def test_images_of_another_precision_than_the_model(images):
    x, y = images
    for call in (attacks.fgsm, gradient_ascent.pgd):
        with pytest.raises(ValueError, match=r"x has dtype torch.float64, the model torch.float32; give x.to"):
            call(network(), x.double(), y, 0.1)
    with pytest.raises(ValueError, match="y is a ndarray; give a tensor"):
        attacks.fgsm(network(), x, y.numpy(), 0.1)
    with pytest.raises(ValueError, match=r"box = \(0.0, nan\) holds NaN"):
        attacks.fgsm(network(), x, y, 0.1, (0.0, float("nan")))
    with pytest.raises(ValueError, match=r"y has shape \(40, 1\); give one label per image"):
        attacks.wrong(network(), x, y[:, None])
    double = frozen(network()).double()  # packed weights and all
    assert torch.allclose(double(x.double()), network()(x).double(), atol=1e-6)
    scale = torch.ones(40, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="model has dtype torch.float64; the libraries compute in float32"):
        smallest.smallest(double, x.double(), y, scale)


def test_a_start_outside_of_the_ball(images):
    x, y = images
    for wrong, words in ((50 * torch.ones_like(x), "begin reaches 50"), (torch.zeros(1), r"begin has shape \(1,\)")):
        with pytest.raises(ValueError, match=words):
            gradient_ascent.pgd(network(), x, y, 0.01, RECOMMENDED, begin=wrong)


def test_noise_that_fails_in_whole_numbers():
    fails = np.array([[0, 0, 0, 1, 1], [0, 1, 0, 1, 1]])
    assert noise.half_point(fails).tolist() == noise.half_point(fails.astype(bool)).tolist() == [3, 1]
    with pytest.raises(ValueError, match=r"fails has shape \(5,\)"):
        noise.half_point(fails[0])


def test_empty_batches_count_as_nothing(images):
    x, _ = images
    whole, parts = of_batches([x]), of_batches([x[:0], x[:15], x[15:15], x[15:]])
    assert parts.count == 40
    assert torch.allclose(parts.covariance, whole.covariance)
    with pytest.raises(ValueError, match="rows of 6 and of 1 numbers"):
        of_batches([x, x[:, :1]])
    with pytest.raises(ValueError, match="0 rows were given"):
        of_batches([x[:0]])
    with pytest.raises(ValueError, match="dtype torch.complex64"):
        spectra.moments(x.to(torch.complex64))


def test_few_images_have_as_many_ranks_as_they_span(images):
    """Five images vary along four directions: no ranks beyond, and nothing above Horn's bound."""
    x, rows = images[0], torch.randn(9, 6, generator=gen())
    found = alignment.align(rows, of_batches([x[:5]]))  # moments in float32 will do
    assert len(found.deficit) == len(found.latent) == len(found.rank) == 4
    assert float(found.deficit.max()) <= 1e-6
    assert torch.equal(alignment.align(rows, of_batches([x])).latent, alignment.align(rows, of_batches([x])).latent)
    assert len(alignment.align(rows, of_batches([x])).latent) == 6
    assert torch.allclose(
        spectra.linear_moments(of_batches([x]), rows).covariance, of_batches([x.double() @ rows.double().T]).covariance
    )
    with pytest.raises(ValueError, match="count = -1; give the number of components, 1 to 6"):
        alignment.leading(rows, alignment.components(of_batches([x])), -1)
    with pytest.raises(ValueError, match="images: there are none"):
        alignment.nearest(x, x[:0])


def test_a_line_reaches_no_further_than_the_spectrum():
    spectrum = 5 * np.arange(1, 1001.0) ** -1.5
    assert powerlaw.reach(spectrum[:20], powerlaw.fit(spectrum)) == 20


def test_what_is_not_a_number_is_no_answer(images):
    x, y = images
    model = network()
    plane = landscapes.random_plane(x[0], gen())
    with pytest.raises(ValueError, match="some numbers are NaN or infinite"):
        landscapes.landscape(model, replace(plane, origin=plane.origin * torch.nan), 1.0, 3)
    with pytest.raises(ValueError, match=r"x has shape \(1, 6\); give one image"):
        landscapes.random_plane(x[:1], gen())
    for radius in (torch.inf, torch.nan, -1.0):
        with pytest.raises(ValueError, match="one finite number >= 0"):
            certificates.margin_bound(model, x, y, torch.full((40,), radius))
    with pytest.raises(ValueError, match=r"y spans -1..2"):
        certificates.margin_bound(model, x, torch.where(y == 0, -1, y), torch.ones(40))
    with torch.no_grad():
        model.readout[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="the logits are not finite"):
        training.accuracy(model, x, y)
    synapses = torch.full((3, 6), 0.1)
    synapses[1, 0] = torch.nan
    with pytest.raises(ValueError, match="some synapses are NaN"):
        pruning.above_threshold(synapses, 0.5)


@pytest.mark.skipif(bool(attack_libraries.missing()), reason="the referees' libraries are not installed")
def test_a_referee_that_does_nothing_finds_nothing_and_says_so(images):
    x = images[0]
    model, y = network(), network()(x).argmax(1)
    calls = {
        "steps = 0": lambda: referees.ddn(model, x, y, steps=0),
        "rounds = -1": lambda: referees.apgd(model, x, y, "ce", rounds=-1),
        "queries = 0": lambda: referees.square(model, x, y, (2, 3, 1), [0.1], queries=0),
    }
    for words, call in calls.items():
        with pytest.raises(ValueError, match=f"{words}; give at least 1"):
            call()


def test_looking_at_a_model_does_not_change_it(images):
    x, y = images
    model = network(batch_norm=True).train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    calls = (
        lambda: training.accuracy(model, x, y),
        lambda: attacks.wrong(model, x, y),
        lambda: attacks.gradient(model, x, y),
        lambda: certificates.margin_bound(model, x, y, torch.ones(40)),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"training mode.*call.*eval\(\)"):
            call()
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())


def test_a_training_leaves_no_graph_and_no_gradients(images):
    x, y = images
    layer = local_learning.train(x.clone().requires_grad_(), PARAMS, gen(), progress=False)
    assert not layer.synapses.requires_grad
    assert torch.equal(layer.synapses, local_learning.train(x, PARAMS, gen(), progress=False).synapses)
    assert all(part.grad is None for part in fit(network(), x, y).model.parameters())
    with pytest.raises(ValueError, match="model is frozen and cannot learn"):
        fit(frozen(network()), x, y)


def test_a_state_is_of_the_weights_that_training_began_with(images, tmp_path):
    x, y = images
    keeping = Keeping(tmp_path / "c.safetensors", 1)
    first = fit(network(1), x, y, keeping=keeping)
    assert torch.equal(fit(network(1), x, y, keeping=keeping).model.hidden, first.model.hidden)
    with pytest.raises(ValueError, match="was made with begun = "):
        fit(network(99), x, y, keeping=keeping)
    moved = gen(2)
    torch.rand(1, generator=moved)
    with pytest.raises(ValueError, match="was made with begun = "):
        training.fit(network(1), x, y, RECIPE, moved, keeping=keeping, progress=False)
    _as_before_it_was_kept(keeping.path)
    assert torch.equal(fit(network(1), x, y, keeping=keeping).model.hidden, first.model.hidden)


def _as_before_it_was_kept(path):
    tensors, about = files.read_tensors(path)
    del about["identity"][checkpoints.BEGUN]
    files.write_tensors(path, tensors, **about)


def test_a_state_of_a_layer_is_of_its_generator(images, tmp_path):
    keeping = Keeping(tmp_path / "c.safetensors", 1)
    first = local_learning.train(images[0], PARAMS, gen(), keeping=keeping, progress=False)
    moved = gen()
    torch.rand(1, generator=moved)
    with pytest.raises(ValueError, match="was made with begun = "):
        local_learning.train(images[0], PARAMS, moved, keeping=keeping, progress=False)
    _as_before_it_was_kept(keeping.path)
    again = local_learning.train(images[0], PARAMS, gen(), keeping=keeping, progress=False)
    assert torch.equal(again.synapses, first.synapses)


@dataclass(frozen=True)
class Band(Penalty):
    band: tuple[int, int] = (1, 5)


class Bare(Penalty):
    """No dataclass: its constants cannot be written down."""


def test_penalties_of_ones_own(images, tmp_path):
    x, y = images
    keeping = Keeping(tmp_path / "c.safetensors", 1)
    first = fit(network(), x, y, replace(RECIPE, penalty=Band()), keeping=keeping)
    again = fit(network(), x, y, replace(RECIPE, penalty=Band()), keeping=keeping)
    assert torch.equal(first.model.hidden, again.model.hidden)
    with pytest.raises(ValueError, match="a frozen dataclass of your own"):
        replace(RECIPE, penalty=Bare())


def test_a_readout_alone_has_no_penalty_of_the_hidden_weights(images):
    x, y = images
    latents = network().after(x).detach()
    for penalty in (LogitJacobian(1.0), Spectral()):
        with pytest.raises(ValueError, match=f"penalty = {type(penalty).__name__} looks at the hidden weights"):
            fit(network(), latents, y, replace(RECIPE, penalty=penalty), readout_only=True)
        with pytest.raises(ValueError, match=r"but of hidden = 'random' only the readout learns"):
            chosen = study.EXPERIMENTS["random"]
            dataclasses.replace(chosen, recipe=replace(chosen.recipe, penalty=penalty))
    fit(network(), latents, y, replace(RECIPE, penalty=L2(1e-3)), readout_only=True)


def test_what_a_file_of_weights_cannot_hold(tmp_path):
    model = network(batch_norm=True)
    with torch.no_grad():
        model.norm.bias += 1
    with pytest.raises(ValueError, match="model is frozen and had batch norm; save the model that it was made from"):
        models.save(frozen(model), tmp_path / "m.safetensors")
    for value in (float("nan"), np.float32(1)):
        with pytest.raises(ValueError, match=r"loss = .* has no place in JSON"):
            models.save(network(), tmp_path / "m.safetensors", loss=value)
    assert list(tmp_path.iterdir()) == []


def test_readouts_are_checked_before_the_first_step(images):
    x, y = images
    start = torch.zeros(3, 6), torch.zeros(3)
    for latents, labels, epochs, words in (
        (x[:10], y, [1], "latents have shape"),
        (x * torch.nan, y, [1], "give finite"),
        (x, y + 3, [1], "labels span 3 to 5"),
        (x, y.int(), [1], "labels have dtype torch.int32"),
        (x, y, [2.5, 4], r"epochs\[0\] = 2.5; give a whole number"),
        (x, y, [2, 1], "each larger than the one before"),
    ):
        with pytest.raises(ValueError, match=words):
            readout.adam(start, latents, labels, epochs, 20, gen())
    assert [epoch for epoch, _, _ in readout.adam(start, x, y, [1, 2], 20, gen())] == [1, 2]


def test_runs_by_text_and_names_that_are_none(tmp_path):
    run = runs.Run.at(str(tmp_path / "bp" / "seed-0"))
    assert run.folder == tmp_path / "bp" / "seed-0"
    with pytest.raises(FileNotFoundError, match=r"spectra.npz does not exist; bioadv probe .* --probe spectra"):
        run.arrays("spectra")
    for call in (lambda: numbers.measured("accuracy", "khh"), lambda: numbers.minutes("khh", "spectra")):
        with pytest.raises(ValueError, match="model = 'khh' is not known; see bioadv list"):
            call()


def test_what_is_no_label_is_not_decided_wrongly(images):
    x, y = images
    for labels in (y.numpy(), y + 100, y - 1, y.float()):
        with pytest.raises(ValueError, match="^y "):
            attacks.wrong(network(), x, labels)


@pytest.mark.skipif(bool(attack_libraries.missing()), reason="needs the extra `referees`")
def test_referees_take_what_our_attacks_take_and_no_more():
    model, x = init(TwoLayer(48, 8, 3), gen(1)).eval(), torch.rand(9, 48, generator=gen())
    y = model(x).argmax(1)
    for given, labels in ((x, y.numpy()), (x, y.float()), (x[:, :40], y), (x.double(), y), (x[:0], y[:0])):
        with pytest.raises(ValueError, match="^(x|y) "):
            referees.ddn(model, given, labels, steps=2)
    for shape in ((3, 4, 4), (4, 4), (4, 4, 1), (8, 3, 2)):
        with pytest.raises(ValueError, match="the channels last"):
            referees.square(model, x, y, shape, [0.1])
    for gamma in (float("nan"), 0.0):
        with pytest.raises(ValueError, match="gamma = "):
            referees.hop_skip_jump(model, x, y, x, steps=1, evaluations=2, gamma=gamma)


@pytest.mark.parametrize("far", [{"rate": 1e20}, {"init_std": 1e13}])
def test_a_layer_that_leaves_the_numbers_stops(images, tmp_path, far):
    keeping = Keeping(tmp_path / "layer.safetensors", 1)
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 1; lower rate"):
        local_learning.train(images[0], replace(PARAMS, **far), gen(), keeping=keeping, progress=False)
    assert not (tmp_path / "layer.safetensors").exists()


def test_the_health_of_what_is_no_layer(images):
    x, _ = images
    layer = local_learning.train(x, PARAMS, gen(), progress=False)
    w = layer.synapses
    assert layer_health.health(w, x, PARAMS).norms.shape == (8,)
    with pytest.raises(ValueError, match="w is a Trained; give its synapses"):
        layer_health.health(layer, x, PARAMS)
    cases = {
        "holds NaN": (w * float("nan"), x, 5),
        "w has shape": (w[:, :5], x, 5),
        "batch = 0": (w, x, 0),
        "w is a ndarray": (w.numpy(), x, 5),
    }
    for words, (synapses, rows, batch) in cases.items():
        with pytest.raises(ValueError, match=words):
            layer_health.health(synapses, rows, PARAMS, batch)


def test_settings_of_another_kind(images, tmp_path):
    x, y = images
    path: Any = "state.safetensors"
    with pytest.raises(ValueError, match=r"keeping = 'state.safetensors' is no Keeping; give Keeping\(path, every\)"):
        fit(network(), x, y, keeping=path)
    with pytest.raises(ValueError, match="keeping = "):
        local_learning.train(x, PARAMS, gen(), keeping=path, progress=False)
    for nothing in (None, "steps"):
        with pytest.raises(ValueError, match="recipe = "):
            fit(network(), x, y, nothing)
        with pytest.raises(ValueError, match="params = "):
            local_learning.train(x, nothing, gen(), progress=False)

    @dataclass
    class Thawed(Penalty):
        strength: float = 1.0

    with pytest.raises(ValueError, match="a frozen dataclass"):
        Recipe(penalty=Thawed())
    with pytest.raises(FileNotFoundError, match="is a folder; give a file"):
        models.load(tmp_path)
    with pytest.raises(ValueError, match="kh-layer is a layer without a readout, and no model"):
        study.experiment("kh-layer")
    data = datasets.load("photo-patches")
    with pytest.raises(ValueError, match="epochs = 0; give at least 1"):
        scales.at_scale("bp", data, epochs=0)


def test_what_a_run_has_for_its_end(tmp_path):
    run = runs.Run(str(tmp_path), "bp", 0)
    files.write_arrays(run.log, {"loss": np.array([2.0, 1.0]), "ended": np.array(2)})
    assert (run.last("loss"), run.last("ended")) == (1.0, 2.0)
