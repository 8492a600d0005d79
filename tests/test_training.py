import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bioadv.data import checkpoints, files
from bioadv.network import graphs, models, recipes, regularizers, spectral_penalty, steps, training
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian
from bioadv.network.spectral_penalty import Spectral
from bioadv.network.states import Keeping
from bioadv.network.training import TrainingDiverged

PENALTIES = [
    None,
    L2(1e-3),
    JacobianPublished(1e-2, batch=25),
    LatentJacobian(1e-3),
    LogitJacobian(1e-2),
    Spectral(1e-3),
    Spectral(1e-4, 2.0, 1, "logged"),
    Spectral(1e-4, 1.0, 2, "scale-free"),
]


def blobs(count=100, inputs=12, classes=3, seed=0):
    """Images of three classes that can be told apart."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    centres = torch.eye(inputs)[:classes] * 2
    return centres[y] + 0.5 * torch.randn(count, inputs, generator=generator), y


def fresh(power=1.0, batch_norm=False, hidden=8):
    return models.init(TwoLayer(12, hidden, 3, power, batch_norm), torch.Generator().manual_seed(7))


def fit(model, recipe, seed=3, **more):
    x, y = blobs()
    more.setdefault("evaluate", {"test": blobs(seed=1)})
    keeping = Keeping(more.pop("checkpoint", None), more.pop("every", 10))
    return training.fit(
        model, x, y, recipe, torch.Generator().manual_seed(seed), keeping=keeping, progress=False, **more
    )


def test_schedules_are_the_published_ones():
    """Public code: epoch t uses the value at t - 1; the steps are <= 30, <= 90, <= 120, <= 160."""
    rates = {t: recipes.learning_rate("steps", t) for t in (1, 31, 32, 91, 92, 121, 122, 161, 162, 1000)}
    assert list(rates.values()) == [1e-3, 1e-3, 5e-4, 5e-4, 2e-4, 2e-4, 1e-4, 1e-4, 1e-5, 1e-5]
    assert recipes.learning_rate("decaying", 91) == 1e-3
    assert recipes.learning_rate("decaying", 121) == pytest.approx(1e-3 / math.e)
    assert recipes.learning_rate("constant", 999) == 1e-3
    assert recipes.learning_rate("steps", 4, epochs=100) == 1e-3
    assert recipes.learning_rate("steps", 5, epochs=100) == 5e-4


def test_a_decaying_schedule_ends_when_nothing_can_move():
    assert recipes.last_epoch(Recipe("decaying"), 50_000) == 577
    assert recipes.last_epoch(Recipe("decaying", epochs=60, batch=250), 2000) < 40
    assert recipes.last_epoch(Recipe("decaying", epochs=1), 100) == 1
    for schedule in ("constant", "steps"):
        assert recipes.last_epoch(Recipe(schedule), 50_000) == 1000
    left = sum(recipes.learning_rate("decaying", epoch) for epoch in range(578, 1001))
    assert 50 * 7.27 * left <= recipes.REACH < 50 * 7.28 * (left + recipes.learning_rate("decaying", 577))


def test_no_step_of_adam_is_longer_than_stated():
    """The bound is met by gradients that grow just as fast as lets momentum outrun the second moment, and by no others.

    Late in a training: at its start the corrections make steps shorter.
    """
    longest = {}
    for growth in (0.5, 1.0, 1.05, 0.999 / 0.9, 1.2, 2.0):
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([weight], lr=1.0, eps=0)
        for t in range(200):
            before = weight.item()
            weight.grad = torch.tensor([growth**t], dtype=torch.float64)
            adam.step()
            longest[growth] = max(longest.get(growth, 0.0), abs(weight.item() - before))
            adam.state[weight]["step"] += 10_000 * (t == 0)
    assert max(longest.values()) <= recipes.LONGEST_STEP * (1 + 1e-6)
    assert longest[0.999 / 0.9] > 0.99 * recipes.LONGEST_STEP


@pytest.mark.parametrize("kind", [None, L2(1e-3), Spectral(1e-3), Spectral(1e-4, 1.0, 2, "scale-free")])
def test_what_the_end_leaves_out_moves_no_weight(kind, monkeypatch):
    """Run on to the end of the schedule: no weight moves by more than the bound, and the log says where it ended."""
    recipe = Recipe("decaying", kind, epochs=100, batch=25)
    short = fit(fresh(batch_norm=kind is not None), recipe)
    ended = int(short.log["ended"])
    assert ended == recipes.last_epoch(recipe, 100) < 60
    monkeypatch.setattr(recipes, "REACH", 0.0)
    full = fit(fresh(batch_norm=kind is not None), recipe)
    assert int(full.log["ended"]) == 100
    for a, b in zip(short.model.parameters(), full.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) <= 1e-6
    for name, values in short.log.items():
        if name == "ended":
            continue
        assert np.array_equal(values[: ended - 1], full.log[name][: ended - 1], equal_nan=True)
        assert values.shape == (100,)
        if name == "learning_rate":
            assert not values[ended:].any()
        else:
            known = ~np.isnan(full.log[name])
            assert np.array_equal(known[ended:], ~np.isnan(values[ended:]))
            assert set(values[ended:][known[ended:]]) == {values[ended - 1]}


def test_an_ended_training_resumes_as_it_is(tmp_path):
    """From the checkpoint of its last epoch."""
    recipe = Recipe("decaying", epochs=100, batch=25)
    first = fit(fresh(), recipe, checkpoint=tmp_path / "c.safetensors")
    again = fit(fresh(), recipe, checkpoint=tmp_path / "c.safetensors")
    for name, values in first.log.items():
        np.testing.assert_array_equal(values, again.log[name])


def test_one_step_is_adam_on_the_loss(generator):
    """Against torch's plain Adam, cross-entropy and autograd on the whole expression."""
    x, y = blobs(25)
    for kind in (None, LatentJacobian(0.1)):
        mine, theirs = fresh(), fresh()
        recipe = Recipe("constant", kind, epochs=1, batch=25)
        training.fit(mine, x, y, recipe, torch.Generator().manual_seed(0), progress=False)
        optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
        h = x @ theirs.hidden.T
        logits = h.relu() @ theirs.readout.T + theirs.bias
        loss = torch.nn.functional.cross_entropy(logits, y)
        if kind:
            loss = loss + 0.1 * ((h > 0).float() @ theirs.hidden.square().sum(1)).mean()
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(mine.hidden, theirs.hidden, atol=2e-6, rtol=0)
        torch.testing.assert_close(mine.readout, theirs.readout, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", PENALTIES, ids=lambda kind: type(kind).__name__ + getattr(kind, "variant", ""))
def test_every_penalty_learns_and_logs(kind):
    fitted = fit(fresh(), Recipe("constant", kind, epochs=60, batch=25))
    log = fitted.log
    assert log["cross_entropy"][-1] < 0.8 * log["cross_entropy"][0]
    assert log["test_accuracy"][-1] > 0.6
    np.testing.assert_allclose(log["loss"], log["cross_entropy"] + log["penalty"], rtol=1e-5)
    assert (log["penalty"] > 0).all() == (kind is not None)
    assert log["jacobian"][-1] == pytest.approx(float(torch.linalg.vector_norm(fitted.model.hidden.detach())))
    assert not fitted.model.training


def test_stronger_penalty_means_smaller_weights():
    sizes = [fit(fresh(), Recipe("constant", L2(s), 60, 25)).log["jacobian"][-1] for s in (1e-4, 1e-2, 1e-1)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_accuracy_is_logged_where_it_is_measured():
    log = fit(fresh(), Recipe(epochs=37, batch=25)).log
    assert np.isfinite(log["test_accuracy"]).tolist() == [t <= 20 or t in (30, 37) for t in range(1, 38)]
    assert np.isfinite(log["train_accuracy"]).all()


def test_accuracy_counts(generator):
    model = fresh().eval()
    x, _ = blobs(23)
    with torch.no_grad():
        y = model(x).argmax(1)
        a = model.after(x)
    y[:3] = (y[:3] + 1) % 3
    assert training.accuracy(model, x, y, size=7) == pytest.approx(20 / 23)
    assert training.accuracy(model, a, y, readout_only=True) == pytest.approx(20 / 23)


def test_evaluation_does_not_change_batch_norm():
    """Statistics of the test set must not leak into the model: the authors' code evaluates in training mode."""
    with_test, without = (
        fit(fresh(batch_norm=True), Recipe(epochs=3, batch=25), evaluate=sets).model.norm.running_mean
        for sets in ({"test": blobs(seed=1)}, {})
    )
    assert torch.equal(with_test, without)


def test_looking_at_latents_does_not_change_batch_norm():
    """The directions of a spectral penalty are taken once per epoch, and must leave the running statistics alone."""
    slight = Spectral(1e-30, 1.0, 2, "scale-free")  # too weak to change a weight
    with_penalty, without = (
        fit(fresh(batch_norm=True), Recipe("constant", kind, epochs=3, batch=25)).model.norm for kind in (slight, None)
    )
    assert torch.equal(with_penalty.running_mean, without.running_mean)
    assert torch.equal(with_penalty.running_var, without.running_var)


def test_what_has_no_variance_or_no_definition_is_refused():
    for model, kind in ((fresh(batch_norm=True), None), (fresh(), Spectral())):
        with pytest.raises(ValueError, match="batch = 33 leaves one image of 100 for the last batch"):
            fit(model, Recipe("constant", kind, epochs=1, batch=33))
    fit(fresh(), Recipe("constant", L2(), epochs=1, batch=33))
    for kind in (LatentJacobian(), LogitJacobian()):
        with pytest.raises(ValueError, match=f"penalty = {type(kind).__name__} is not defined with batch norm"):
            fit(fresh(batch_norm=True), Recipe("constant", kind, epochs=1, batch=25))


def test_readout_on_latents_is_the_readout_on_images():
    """Training the readout on latents computed once gives the network that frozen hidden weights would give."""
    x, y = blobs()
    latents, frozen = fresh(4.5), fresh(4.5)
    with torch.no_grad():
        a = latents.after(x)
    recipe = Recipe("steps", epochs=12, batch=25)
    training.fit(latents, a, y, recipe, torch.Generator().manual_seed(0), readout_only=True, progress=False)
    optimizer = torch.optim.Adam([frozen.readout, frozen.bias], lr=1)
    generator = torch.Generator().manual_seed(0)
    for rate in (1e-3, 5e-4, *[1e-5] * 10):  # the schedule, stretched by 12/1000, has to reach the optimizer
        optimizer.param_groups[0]["lr"] = rate
        for chosen in torch.randperm(len(x), generator=generator).split(25):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(frozen(x[chosen]), y[chosen]).backward()
            optimizer.step()
    assert torch.equal(latents.hidden, fresh(4.5).hidden)
    torch.testing.assert_close(latents.readout, frozen.readout, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "batch_norm"),
    [(kind, False) for kind in PENALTIES]
    + [(kind, True) for kind in PENALTIES if not isinstance(kind, LatentJacobian | LogitJacobian)],
    ids=str,
)
def test_resumed_training_ends_with_the_same_weights(tmp_path, monkeypatch, kind, batch_norm):
    recipe, file = Recipe("constant", kind, epochs=6, batch=25), tmp_path / "c.safetensors"
    whole = fit(fresh(batch_norm=batch_norm), recipe)
    original = checkpoints.write

    def stopping(path, *args, **about):
        original(path, *args, **about)
        if about["epoch"] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(batch_norm=batch_norm), recipe, checkpoint=file, every=2)
    written = []

    def counting(path, *args, **about):
        written.append(about["epoch"])
        original(path, *args, **about)

    monkeypatch.setattr(checkpoints, "write", counting)
    resumed = fit(fresh(batch_norm=batch_norm), recipe, checkpoint=file, every=2)
    assert written == [6]  # it did not begin anew
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    for name, values in whole.log.items():
        np.testing.assert_array_equal(resumed.log[name], values)


def test_divergence_names_the_epoch_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "c.safetensors"
    x, y = blobs()
    recipe = Recipe("constant", epochs=8, batch=25)
    model = fresh()
    original = training.accuracy
    calls = []

    def poison(model, *args):
        calls.append(1)
        if len(calls) == 3:
            with torch.no_grad():
                model.hidden[0, 0] = torch.nan
        return original(model, *args)

    monkeypatch.setattr(training, "accuracy", poison)
    how = {"evaluate": {"test": (x, y)}, "keeping": Keeping(file, 2), "progress": False}
    with pytest.raises(
        TrainingDiverged, match=r"logits are not finite in epoch 3; the state after epoch 2 is in .*c\.safetensors"
    ):
        training.fit(model, x, y, recipe, torch.Generator(), **how)
    assert files.read_tensors(file)[1]["epoch"] == 2
    assert all(torch.isfinite(t).all() for n, t in files.read_tensors(file)[0].items() if n.startswith("model"))
    with torch.no_grad():
        model.hidden[:] = torch.inf
    with pytest.raises(TrainingDiverged, match="epoch 1; no checkpoint was kept"):
        fit(model, recipe)
    with pytest.raises(TrainingDiverged, match="covariance of the latent is not finite in epoch 1"):
        fit(model, Recipe("constant", Spectral(variant="scale-free"), epochs=2, batch=25))


def test_foreign_checkpoints_are_refused_and_kept(tmp_path):
    file, recipe = tmp_path / "c.safetensors", Recipe("constant", L2(1e-3), epochs=2, batch=25)
    fit(fresh(), recipe, checkpoint=file)
    content = file.read_bytes()

    def refuse(match, model=None, recipe=recipe, **more):
        with pytest.raises(ValueError, match=match):
            fit(model or fresh(), recipe, checkpoint=file, **more)
        assert file.read_bytes() == content

    refuse("made with seed = 3, this run has 4", seed=4)
    refuse("made with penalty = .*0.001.*this run has .*0.002", recipe=replace(recipe, penalty=L2(2e-3)))
    refuse("made with penalty_kind = L2, this run has LatentJacobian", recipe=replace(recipe, penalty=LatentJacobian()))
    refuse("made with epochs = 2, this run has 3", recipe=replace(recipe, epochs=3))
    refuse("made with power = 1.0, this run has 4.5", model=fresh(4.5))
    refuse(r"made with shape = \[8, 12, 3\], this run has \[9, 12, 3\]", model=fresh(hidden=9))
    file.write_bytes(content[:1000])
    with pytest.raises(ValueError, match="truncated"):
        fit(fresh(), recipe, checkpoint=file)
    files.write_tensors(file, {"w": torch.zeros(1)}, epoch=1)
    with pytest.raises(ValueError, match="not a checkpoint of training"):
        fit(fresh(), recipe, checkpoint=file)


def altered(file, tensors, about):
    """Write a checkpoint with other tensors (None: without them) or another description, whole in itself."""
    kept, header = files.read_tensors(file)
    kept = {name: tensor for name, tensor in (kept | tensors).items() if tensor is not None}
    files.write_tensors(file, kept, **{**header, **about})


@pytest.mark.parametrize(
    ("tensors", "about", "words"),
    [
        (
            {f"adam.{i}.{name}": None for i in range(3) for name in ("step", "exp_avg", "exp_avg_sq")},
            {},
            "lacks adam.0",
        ),
        ({"adam.2.exp_avg": None}, {}, "lacks adam.2.exp_avg"),
        (
            {"adam.2.exp_avg": torch.zeros(8)},
            {},
            r"has adam.2.exp_avg as torch.float32 \(8,\), this run as .* \(8, 12\)",
        ),
        ({"adam.3.exp_avg": torch.zeros(8)}, {}, "has, unlike this run, adam.3.exp_avg"),
        ({"model.hidden": torch.zeros(8, 12).double()}, {}, "has model.hidden as torch.float64"),
        ({"model.bias": None}, {}, "lacks model.bias"),
        ({"log.loss": None}, {}, "lacks log.loss"),
        ({"log.test_accuracy": torch.zeros(1).double()}, {}, r"has log.test_accuracy as torch.float64 \(1,\)"),
        ({"generator": torch.zeros(7, dtype=torch.uint8)}, {}, "was made on another kind of device"),
        ({"generator": None}, {}, "is not a checkpoint of training"),
        ({}, {"epoch": 5}, "is of epoch 5, this run has epochs 1 to 4"),
        ({}, {"epoch": -1}, "is of epoch -1"),
        ({}, {"epoch": 2.5}, "is of epoch 2.5"),
        ({}, {"epoch": None}, "is of epoch None"),
        ({}, {"seconds": -1}, "took -1 seconds"),
        ({}, {"identity": []}, "is not a checkpoint of training"),
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, tensors, about, words):
    file, recipe = tmp_path / "c.safetensors", Recipe("constant", L2(1e-3), epochs=4, batch=25)
    fit(fresh(), recipe, checkpoint=file)
    altered(file, tensors, about)
    content, model, generator = file.read_bytes(), fresh(), torch.Generator().manual_seed(3)
    before, seed = model.hidden.clone(), generator.get_state()
    with pytest.raises(ValueError, match=rf"c\.safetensors {words}.*(delete|give)"):
        training.fit(
            model, *blobs(), recipe, generator, evaluate={"test": blobs(seed=1)}, keeping=Keeping(file), progress=False
        )
    assert file.read_bytes() == content
    assert torch.equal(model.hidden, before)
    assert torch.equal(generator.get_state(), seed)


def test_a_readout_behind_batch_norm_goes_on_from_its_checkpoint(tmp_path):
    """The parameters of batch norm do not learn then, and the optimizer has no state for them."""
    file, recipe = tmp_path / "c.safetensors", Recipe("constant", None, epochs=2, batch=25)
    x, y = blobs()
    given = {"readout_only": True, "keeping": Keeping(file), "progress": False}
    ended = []
    for _ in range(2):
        model = fresh(batch_norm=True)
        latents = model.eval().after(x).detach()
        training.fit(model, latents, y, recipe, torch.Generator().manual_seed(3), **given)
        ended.append(model.readout.detach())
    assert torch.equal(*ended)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "cosine"}, "schedule = 'cosine'.*choose constant or steps or decaying"),
        ({"epochs": 0}, "epochs = 0"),
        ({"batch": -1}, "batch = -1"),
    ],
)
def test_bad_recipes_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**change)


def test_bad_data_are_refused(generator):
    x, y = blobs()
    recipe = Recipe(epochs=1, batch=25)

    def refuse(match, x=x, y=y, **more):
        with pytest.raises(ValueError, match=match):
            training.fit(fresh(), x, y, recipe, generator, **more)

    refuse(r"x: inputs have shape \(100, 11\).*12 columns", x=x[:, 1:])
    refuse(r"x: inputs have shape \(100, 12\).*latents.*8 columns", readout_only=True)
    refuse(r"x: labels have shape \(99,\).*100 images", y=y[1:])
    refuse("values 1..3.*from 0 to 2", y=y + 1)
    refuse("x: labels have shape .* and dtype torch.float32; give an int64 for each of 100", y=y.float())
    refuse("x: inputs are NaN or infinite; give finite ones", x=torch.where(x == x[3, 3], torch.nan, x))
    refuse(r"test: labels have shape \(5,\)", evaluate={"test": (x, y[:5])})
    refuse(r"test: labels have shape \(0,\)", evaluate={"test": (x, y[:0])})
    for name in ("train", "x"):
        refuse(f"evaluate has '{name}', which is what the training images go by", evaluate={name: (x, y)})
    for recipe, match in (
        (Recipe(penalty=Spectral(), epochs=1, batch=1), "batch = 1 leaves one image"),
        (Recipe(penalty=Spectral(tau=8), epochs=1, batch=25), "tau = 8 leaves no component of 8 units; give at most 7"),
        (Recipe(penalty=Spectral(tau=7, variant="scale-free"), epochs=1, batch=25), "give at most 6"),
    ):
        with pytest.raises(ValueError, match=match):
            training.fit(fresh(), x, y, recipe, generator)
    with pytest.raises(ValueError, match="every = 0"):
        Keeping(every=0)


def test_bfloat16_products_agree_with_float32():
    x, y = blobs(400)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        model = fresh()
        training.fit(model, x.to(dtype), y, Recipe("constant", None, 20, 25), torch.Generator(), progress=False)
        results.append(training.accuracy(model, *blobs(400, seed=1)))
    assert results[0] > 0.9
    assert abs(results[0] - results[1]) < 0.03


def test_covariance_is_the_definition(generator):
    x = torch.rand(300, 12, generator=generator) + 3
    torch.testing.assert_close(spectral_penalty.image_covariance(x, size=70), torch.cov(x.double().T).float())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_steps_are_the_steps():
    x, y = blobs()
    models_ = []
    for record in (False, True):
        model = fresh().cuda()
        keep, steps.captured = steps.captured, (graphs.captured if record else lambda step, *_: step)
        try:
            generator = torch.Generator("cuda").manual_seed(0)
            training.fit(model, x.cuda(), y.cuda(), Recipe(epochs=5, batch=30), generator, progress=False)
        finally:
            steps.captured = keep
        models_.append(model.hidden)
    torch.testing.assert_close(*models_, atol=1e-5, rtol=0)


def test_published_jacobian_term_is_a_weight_decay_in_training():
    """JReg as coded and an L2 penalty on the hidden weights of that strength are the same training."""
    kind = JacobianPublished(1e-2, batch=25)
    model = fit(fresh(), Recipe("constant", kind, 5, 25)).model
    x, y = blobs()
    other = fresh()
    coefficient = 2 * 1e-2 * kind.factor
    optimizer = torch.optim.Adam([{"params": [other.readout, other.bias]}, {"params": [other.hidden]}], lr=1e-3)
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        for chosen in torch.randperm(len(x), generator=generator).split(25):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(other(x[chosen]), y[chosen])
            (loss + coefficient / 2 * other.hidden.square().sum()).backward()
            optimizer.step()
    torch.testing.assert_close(model.hidden, other.hidden, atol=1e-5, rtol=0)
    assert regularizers.decay(kind)[1] == 0


def test_accuracy_refuses_labels_that_do_not_fit():
    model = TwoLayer(12, 5, 3, 2.0)
    x, y = torch.rand(50, 12), torch.zeros(50, dtype=torch.long)
    for images, labels in ((x, y[:, None]), (x, y[:1]), (x, y + 3), (x[:, :5], y), (x[:0], y[:0]), (x, y[:0])):
        with pytest.raises(ValueError, match="accuracy: (inputs have shape|labels have (shape|values))"):
            training.accuracy(model, images, labels)
