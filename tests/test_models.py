import pytest
import torch

from bioadv.network import models
from bioadv.network.models import TwoLayer


def small(generator, power=1.0, batch_norm=False):
    return models.init(TwoLayer(7, 5, 3, power, batch_norm), generator)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
def test_forward_is_the_definition(generator, power):
    model = small(generator, power)
    x = torch.randn(4, 7, generator=generator)
    h = torch.stack([model.hidden @ row for row in x])
    a = torch.where(h > 0, h.abs() ** power, 0)
    z = torch.stack([model.readout @ row for row in a]) + model.bias
    torch.testing.assert_close(model.before(x), h)
    torch.testing.assert_close(model.after(x), a)
    torch.testing.assert_close(model(x), z)


def test_batch_norm_stands_between_product_and_activation(generator):
    model = small(generator, batch_norm=True)
    x = torch.randn(50, 7, generator=generator)
    before = model.before(x)
    torch.testing.assert_close(before.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(before.var(0, unbiased=False), torch.ones(5), atol=1e-2, rtol=0)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
def test_slope_and_curvature_are_derivatives(power):
    h = torch.tensor([-1.0, -0.3, 0.2, 0.7, 2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(models.activation(h, power).sum(), h, create_graph=True)
    torch.testing.assert_close(models.slope(h, power), first)
    if power > 1:
        (second,) = torch.autograd.grad(first.sum(), h)
        torch.testing.assert_close(models.curvature(h, power), second)
    else:
        assert not models.curvature(h, power).any()


def test_init_has_the_published_variances(generator):
    model = models.init(TwoLayer(500, 400, 10), generator).requires_grad_(False)
    assert float(model.hidden.var()) == pytest.approx(2 / 500, rel=0.02)
    assert float(model.readout.abs().max()) <= 400**-0.5
    assert float(model.readout.var()) == pytest.approx(1 / 400 / 3, rel=0.1)


def test_init_depends_on_the_generator_only():
    weights = [models.init(TwoLayer(5, 4, 2), torch.Generator().manual_seed(s)).hidden for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_bfloat16_images_change_little(generator):
    model = models.init(TwoLayer(300, 50, 10), generator)
    x = torch.rand(20, 300, generator=generator)
    rounded = model.before(x.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, model.before(x), atol=0.05, rtol=0.05)
    assert not torch.equal(rounded, model.before(x))


def test_save_and_load(tmp_path, generator):
    for power, batch_norm in ((1.0, False), (4.5, True)):
        model = small(generator, power, batch_norm).eval()
        models.save(model, tmp_path / "m.safetensors", seed=3)
        read = models.load(tmp_path / "m.safetensors")
        x = torch.randn(4, 7, generator=generator)
        assert torch.equal(read(x), model(x))
        assert read.power == power
        assert not read.training


def test_foreign_and_truncated_models_are_refused(tmp_path, generator):
    file = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        models.load(file)
    models.save(small(generator), file)
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(ValueError, match="truncated"):
        models.load(file)
    models.write_tensors(file, {"w": torch.zeros(3)}, layer=1)
    with pytest.raises(ValueError, match="holds no model.*layer"):
        models.load(file)
    shape = {"inputs": 3, "hidden": 2, "classes": 2, "power": 1.0, "batch_norm": False}
    models.write_tensors(file, {"hidden": torch.zeros(9, 9)}, model=shape)
    with pytest.raises(ValueError, match="does not fit the model it describes"):
        models.load(file)
    for foreign in ({"units": 2}, {"hidden": 0}):
        models.write_tensors(file, {"hidden": torch.zeros(9, 9)}, model=shape | foreign)
        with pytest.raises(ValueError, match="does not fit the model it describes"):
            models.load(file)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 5, 3), "inputs = 0"),
        ((7, 0, 3), "hidden = 0"),
        ((7, 5, 1), "classes = 1.*at least 2"),
        ((7, 5, 3, 0.5), "power = 0.5"),
        ((7, 5, 3, float("nan")), "power = nan"),
        ((7, 5, 3, float("inf")), "power = inf"),
        ((7, 3.5, 3), "hidden = 3.5; give a whole number"),
    ],
)
def test_bad_shapes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        TwoLayer(*arguments)
