import subprocess
import sys

import numpy as np
import pytest
import torch

from bioadv.measure import attacks, certificates, critical, gradient_ascent, landscapes, noise
from bioadv.network import models, products
from bioadv.network.models import TwoLayer

SCRIPT = "from bioadv.network import products; print(products.library())"


@pytest.fixture(params=products.LIBRARIES)
def library(request, monkeypatch):
    """Each library in turn, also for products that are small."""
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "library", lambda: request.param)
    return request.param


def operands(generator, dtype):
    return (torch.randn(shape, generator=generator, dtype=dtype) for shape in ((50, 300), (40, 300), (50, 40)))


def close(found, exact):
    assert found.layout == torch.strided
    assert not found.is_mkldnn
    digits = 2e-6 if found.dtype == torch.float32 else 1e-14
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=digits * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_the_definition(library, generator, dtype):
    """All three forms, plain, with gradients, packed, against float64; of transposed and sliced operands as well."""
    x, m, g = operands(generator, dtype)
    exact = [x.double() @ m.double().T, g.double() @ m.double(), g.double().T @ x.double()]
    packed = products.Packed(m)
    close(products.product(x, m), exact[0])
    close(packed.product(x), exact[0])
    close(products.against(g, m), exact[1])
    close(packed.against(g), exact[1])
    close(products.outer(g, x), exact[2])
    close(products.product(x, m.T.contiguous().T), exact[0])
    close(products.against(g.T.contiguous().T, m), exact[1])
    close(products.product(x[::2], m), exact[0][::2])
    close(products.outer(x, x), x.double().T @ x.double())
    x.requires_grad_()
    m.requires_grad_()
    h = products.linear(x, m)
    assert h.requires_grad
    close(h.detach(), exact[0])
    h.backward(g)
    close(x.grad, exact[1])
    close(m.grad, exact[2])
    first, x.grad = x.grad, None
    packed.linear(x).backward(g)
    torch.testing.assert_close(x.grad, first)
    with torch.no_grad():
        assert not products.linear(x, m).requires_grad
    assert not products.product(x, m).requires_grad


def test_precision_is_kept(library, generator):
    """Products of rounded operands stay with torch; a summed gradient, whose memory is one number, works everywhere."""
    x, m, _ = operands(generator, torch.float32)
    assert products.product(x.bfloat16(), m.bfloat16()).dtype == torch.bfloat16
    x.requires_grad_()
    products.linear(x, m).sum().backward()
    close(x.grad, m.double().sum(0).expand(50, -1).contiguous())


def test_small_products_are_torch(monkeypatch, generator):
    """Below the threshold no other library is asked, so live cells give the same numbers whatever is chosen."""
    x, m, g = operands(generator, torch.float32)
    monkeypatch.setattr(products, "library", lambda: pytest.fail("asked"))
    assert torch.equal(products.product(x, m), x @ m.T)
    assert torch.equal(products.linear(x, m), x @ m.T)
    assert torch.equal(products.outer(g, x), g.T @ x)


def test_rule():
    assert products.rule("AMD EPYC", "AVX2", one_thread=True) == "numpy"
    assert products.rule("AMD EPYC", "AVX2", one_thread=False) == "torch"
    assert products.rule("AMD EPYC", "AVX512", one_thread=False) == "onednn"
    assert products.rule("Intel(R) Xeon(R)", "AVX512", one_thread=True) == "torch"
    assert products.rule("", "DEFAULT", one_thread=True) == "torch"


def test_the_choice_is_the_same_in_another_process():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == products.library()


@pytest.fixture
def chosen_anew():
    products.library.cache_clear()
    yield
    products.library.cache_clear()


def test_the_variable_overrules_the_rule(monkeypatch, chosen_anew):
    monkeypatch.setenv(products.VARIABLE, "onednn")
    assert products.library() == "onednn"


def test_unknown_and_absent_libraries_are_refused(monkeypatch, chosen_anew):
    monkeypatch.setenv(products.VARIABLE, "mkl")
    with pytest.raises(
        ValueError, match="BIOADV_PRODUCTS = 'mkl' is not known; choose from auto, torch, onednn, numpy"
    ):
        products.library()
    monkeypatch.setenv(products.VARIABLE, "onednn")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="built without it; choose torch or numpy"):
        products.library()


def idle(generator, power, batch_norm=False):
    """A model with some units whose weights are all zero, and a batch that it decides."""
    model = models.init(TwoLayer(60, 40, 5, power, batch_norm), generator).requires_grad_(False)
    model.hidden[::3] = 0
    if model.norm is not None:
        model.norm.bias += 0.1
    x = torch.rand(30, 60, generator=generator)
    model.train()(x)
    model.eval()
    return model, x, model(x).argmax(1)


@pytest.mark.parametrize("power", [1.0, 4.5])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_frozen_model_is_the_model(library, generator, power, batch_norm):
    """Same logits and gradients; units of zeros are gone, unless batch norm lets them respond."""
    model, x, y = idle(generator, power, batch_norm)
    light = models.frozen(model)
    assert len(light.hidden) == (40 if batch_norm else 26)
    assert models.frozen(light) is light
    torch.testing.assert_close(light(x), model(x), rtol=1e-4, atol=1e-5)
    inputs = x.clone().requires_grad_()
    (exact,) = torch.autograd.grad(model(inputs).logsumexp(1).sum(), inputs)
    (found,) = torch.autograd.grad(light(inputs).logsumexp(1).sum(), inputs)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(attacks.gradient(light, x, y)[0], attacks.gradient(model, x, y)[0], rtol=1e-3, atol=1e-5)
    weights, offset = models.folded(light)
    torch.testing.assert_close(x @ weights.T + offset, light.before(x), rtol=1e-4, atol=1e-5)


def test_a_model_of_zeros_stays_one(generator):
    model, x, _ = idle(generator, 1.0)
    model.hidden.zero_()
    light = models.frozen(model)
    assert light.hidden.shape == (1, 60)
    assert torch.equal(light(x), model(x))


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_units_of_zeros_change_no_measurement(generator, power, monkeypatch):
    """Critical strengths, certificates and maps of a model are those of itself with all of its units."""
    model, x, y = idle(generator, power)
    grid = np.logspace(-4, 0, 40)

    def measured():
        draws = noise.pool(model, torch.Generator().manual_seed(1), 50)
        sweep = noise.sweep(model, x, y, draws, torch.Generator().manual_seed(2), grid)
        plane = landscapes.random_plane(x[0], torch.Generator().manual_seed(3))
        at = landscapes.landscape(model, plane, radius=1.0, points=5, logit_jacobian=True)
        found = critical.search(model, x, y, critical.pgd(model, x, y), grid)
        radii = certificates.certified_radius(model, x, y)
        return found.index, sweep.first.index, radii, at.latent_jacobian, at.logit_jacobian, at.confidence

    light = measured()

    def whole(model):
        return model

    for module in (attacks, critical, noise, landscapes, certificates):
        monkeypatch.setattr(module, "frozen", whole)
    full = measured()
    assert np.array_equal(light[0], full[0])
    assert np.array_equal(light[1], full[1])
    for found, exact in zip(light[2:], full[2:], strict=True):
        np.testing.assert_allclose(found, exact, rtol=2e-3 if exact is full[2] else 1e-4, atol=1e-6)


def test_libraries_agree_on_critical_strengths(monkeypatch):
    """Sums in another order: at least 99.5 % of the images fail at the same point of the published grid."""
    generator = torch.Generator().manual_seed(0)
    model = models.init(TwoLayer(3072, 340, 10), generator).eval()
    assert model.hidden.numel() >= products.LARGE
    x = 0.06 * torch.rand(200, 3072, generator=generator)
    y = model(x).argmax(1)
    found = {}
    for library in products.LIBRARIES:
        monkeypatch.setattr(products, "library", lambda library=library: library)
        near = critical.guess(model, x, y)
        found[library] = critical.search(
            model, x, y, critical.pgd(model, x, y, gradient_ascent.PGD(steps=3)), near=near
        ).index
    assert len(np.unique(found["torch"])) > 20
    for library in ("onednn", "numpy"):
        assert (found[library] == found["torch"]).mean() >= 0.995, library
