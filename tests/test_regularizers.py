from dataclasses import replace

import pytest
import torch
from torch.func import jacrev, vmap

from bioadv.network import jacobians, models, regularizers, spectral_penalty
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian
from bioadv.network.spectral_penalty import Spectral


@pytest.fixture(params=[1.0, 2.0, 4.5])
def model(request, generator):
    model = models.init(TwoLayer(8, 6, 3, request.param), generator).double()
    with torch.no_grad():
        model.hidden *= 3  # so that powers of the latents are not all tiny
    return model


def images(count=5, inputs=8):
    return torch.rand(count, inputs, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def gradients(value, model):
    return torch.autograd.grad(value, [model.hidden, model.readout], allow_unused=True)


def by_autograd(function, x):
    """Mean over images of the squared Frobenius norm of the Jacobian, one image at a time."""
    return vmap(jacrev(function))(x).square().sum((1, 2)).mean()


def test_latent_jacobian_is_the_definition(model):
    x = images()
    plain = by_autograd(lambda row: model.activate(model.hidden @ row), x)
    fast = jacobians.latent_jacobian(model.hidden, model.before(x), model.power)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(gradients(fast, model)[0], gradients(plain, model)[0])


def test_row_decay_is_the_gradient(generator):
    model, x = models.init(TwoLayer(8, 6, 3), generator).double(), images()
    kind = LatentJacobian(0.3)
    h = model.before(x)
    value = regularizers.penalty(kind, model, h)
    rows = kind.row_decay(model, h)
    torch.testing.assert_close(rows[:, None] * model.hidden, torch.autograd.grad(value, model.hidden)[0])
    torch.testing.assert_close((rows * model.hidden.square().sum(1)).sum() / 2, value)
    assert L2().row_decay(model, h) is None
    assert kind.row_decay(TwoLayer(8, 6, 3, power=4.5), h) is None


def test_logit_jacobian_is_the_definition(model):
    x = images()
    plain = by_autograd(lambda row: model.readout @ model.activate(model.hidden @ row) + model.bias, x)
    fast = jacobians.logit_jacobian(model.hidden, model.readout, model.before(x), model.power)
    torch.testing.assert_close(fast, plain)
    for mine, theirs in zip(gradients(fast, model), gradients(plain, model), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_jacobian_before_the_activation_is_the_weight_norm(generator):
    model = models.init(TwoLayer(8, 6, 3), generator).double()
    plain = by_autograd(lambda row: model.hidden @ row, images())
    torch.testing.assert_close(plain, model.hidden.square().sum())


def published_estimator(model, x, projections, generator):
    """The authors' Jacobian term, slip included: from the second projection on, v is normalised over the whole batch.

    Written from what the public code does: R = sum over m of H / (3 B) * || v_m^T dh/dx ||^2.
    """
    x = x.clone().requires_grad_()
    h = model.before(x)
    batch, hidden = h.shape
    total = 0.0
    for m in range(projections):
        v = torch.randn(batch, hidden, generator=generator, dtype=x.dtype)
        v = v / (v.norm(dim=1, keepdim=True) if m == 0 else v.norm())
        (projected,) = torch.autograd.grad(h, x, v, retain_graph=True)
        total += hidden / (projections * batch) * projected.square().sum()
    return float(total)


def test_published_estimator_has_the_mean_that_we_use(generator):
    """10,000 draws; the mean must agree within four standard errors, which here are below 1 %."""
    model = models.init(TwoLayer(8, 6, 3), generator).double()
    x = images(5)
    draws = torch.tensor([published_estimator(model, x, 3, generator) for _ in range(10_000)])
    kind = JacobianPublished(strength=1.0, projections=3, batch=5)
    norm = float(model.hidden.detach().square().sum())
    expected, error = kind.factor * norm, float(draws.std()) / 100
    assert error < 0.01 * expected
    assert abs(float(draws.mean()) - expected) < 4 * error
    # A correct estimator would have mean ||M||^2: far outside.
    assert norm - expected > 50 * error


def test_factor_at_the_papers_size():
    assert JacobianPublished().factor == pytest.approx(0.334)
    assert regularizers.decay(JacobianPublished()) == (pytest.approx(2 * 3.34e-4), 0)


@pytest.mark.parametrize("kind", [L2(0.3), JacobianPublished(0.3)])
def test_decay_is_the_gradient_of_the_term(model, kind):
    hidden, rest = regularizers.decay(kind)
    if isinstance(kind, L2):
        term = 0.3 * sum(p.square().sum() for p in model.parameters())
    else:
        term = 0.3 * kind.factor * model.hidden.square().sum()
    assert regularizers.decay_value(kind, model) == pytest.approx(float(term.detach()))
    parameters = [model.hidden, model.readout, model.bias]
    expected = torch.autograd.grad(term, parameters, allow_unused=True)
    for parameter, gradient, weight in zip(parameters, expected, (hidden, rest, rest), strict=True):
        torch.testing.assert_close(weight * parameter, torch.zeros_like(parameter) if gradient is None else gradient)


def test_decay_inside_adam_is_the_term_in_the_loss(generator):
    """One step of Adam with weight decay against Adam on the loss plus the penalty."""
    x, y = images(20), torch.randint(0, 3, (20,), generator=generator)
    results = []
    for in_loss in (True, False):
        model = models.init(TwoLayer(8, 6, 3), torch.Generator().manual_seed(1)).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0 if in_loss else 2 * 0.01)
        for _ in range(3):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            if in_loss:
                loss = loss + 0.01 * sum(p.square().sum() for p in model.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        results.append(model.hidden.detach())
    torch.testing.assert_close(*results)


def plain_spectral(kind, latent, directions):
    """The penalty from its formula, with the full covariance matrix and a loop over components."""
    batch, hidden = latent.shape
    if kind.variant == "logged":
        moments = (latent - spectral_penalty.SHIFT).T @ (latent - spectral_penalty.SHIFT) / batch
    else:
        moments = torch.cov(latent.T)
    eigenvalues = torch.diag(directions.T @ moments @ directions)
    total = 0.0
    for index in range(hidden):
        n = index + 1
        if n <= kind.tau or (kind.variant == "scale-free" and n == kind.tau + 1):
            continue
        if kind.variant == "scale-free":
            target = eigenvalues[kind.tau].detach() * ((kind.tau + 1) / n) ** kind.alpha
        else:
            target = n**-kind.alpha
        ratio = eigenvalues[index] / target - 1
        total = total + ratio**2 + torch.clamp(ratio, min=0)
    return kind.strength / hidden * total


@pytest.mark.parametrize("variant", ["stated", "logged", "scale-free"])
@pytest.mark.parametrize(("alpha", "tau"), [(1.0, 0), (2.62, 2)])
def test_spectral_is_the_formula(model, variant, alpha, tau):
    kind = Spectral(0.7, alpha, tau, variant)
    x = images(12)
    directions = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    h = model.before(x)
    latent = model.activate(h) if variant == "scale-free" else h
    fast, plain = regularizers.penalty(kind, model, h, directions), plain_spectral(kind, latent, directions)
    torch.testing.assert_close(fast, plain)
    mine, theirs = (torch.autograd.grad(value, model.hidden, retain_graph=True)[0] for value in (fast, plain))
    torch.testing.assert_close(mine, theirs)


def test_principal_directions_diagonalise_the_covariance(model):
    x = images(400)
    sigma = torch.cov(x.T)
    latent = model.before(x)
    for kind, tap in ((Spectral(), latent), (Spectral(variant="scale-free"), model.activate(latent))):
        directions = spectral_penalty.principal_directions(kind, model, x, size=70)
        rotated = directions.T @ torch.cov(tap.T) @ directions
        torch.testing.assert_close(rotated, torch.diag(torch.diag(rotated)), atol=1e-9, rtol=0)
        assert (torch.diag(rotated).diff() <= 1e-12).all()
    shortcut = spectral_penalty.principal_directions(Spectral(), model, x, sigma)
    direct = spectral_penalty.principal_directions(Spectral(), model, x)
    torch.testing.assert_close((shortcut.T @ direct).abs(), torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)


def test_scale_free_does_not_see_the_scale():
    latent = torch.rand(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions = torch.linalg.eigh(torch.cov(latent.T))[1].flip(1)
    kind = Spectral(variant="scale-free", tau=1)
    first, second = (float(spectral_penalty.spectral(kind, c * latent, directions)) for c in (1.0, 100.0))
    assert first == pytest.approx(second)
    absolute = replace(kind, variant="stated")
    assert float(spectral_penalty.spectral(absolute, 100 * latent, directions)) > 1e3 * first


def test_exact_power_law_costs_nothing():
    """A latent whose batch spectrum is exactly n^-1 has penalty zero in both forms."""
    base = torch.linalg.qr(torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    base = torch.linalg.qr(base - base.mean(0))[0] * 39**0.5  # centred columns of unit variance
    latent = base * torch.arange(1, 7, dtype=torch.float64) ** -0.5
    for variant in ("stated", "scale-free"):
        value = spectral_penalty.spectral(Spectral(variant=variant), latent, torch.eye(6, dtype=torch.float64))
        assert float(value) == pytest.approx(0, abs=1e-12)


def test_published_specreg_is_as_large_as_the_stored_log(cifar10):
    """As stored: at initialisation the log has 1.42e9 per epoch of 50 batches; alpha = 1 would have about 50."""
    from bioadv.data.datasets import unit_lp

    x = unit_lp(cifar10.train.first(3000))
    model = models.init(TwoLayer(3072, 2000, 10), torch.Generator().manual_seed(0))
    for alpha, low, high in ((2.62, 0.9e9, 2.0e9), (1.0, 30, 70)):
        kind = Spectral(alpha=alpha, variant="logged")
        directions = spectral_penalty.principal_directions(kind, model, x[:1000])
        with torch.no_grad():
            values = [float(spectral_penalty.spectral(kind, model.before(b), directions)) for b in x[1000:].split(1000)]
        assert low < 50 * sum(values) / 2 < high


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: L2(-1), "strength = -1"),
        (lambda: JacobianPublished(batch=0), "batch = 0"),
        (lambda: LatentJacobian(float("nan")), "strength = nan"),
        (lambda: LogitJacobian(0), "strength = 0"),
        (lambda: Spectral(alpha=0), "alpha = 0"),
        (lambda: Spectral(tau=-1), "tau = -1"),
        (lambda: Spectral(variant="other"), "variant = 'other'.*choose stated or logged or scale-free"),
    ],
)
def test_bad_constants_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_spectral_needs_directions(model):
    with pytest.raises(ValueError, match="directions = None"):
        regularizers.penalty(Spectral(), model, model.before(images()))


def test_no_penalty_is_zero(model):
    h = model.before(images())
    for kind in (None, L2(), JacobianPublished()):
        assert float(regularizers.penalty(kind, model, h)) == 0
    assert regularizers.decay(None) == (0, 0)
    assert regularizers.decay(LatentJacobian()) == (0, 0)
