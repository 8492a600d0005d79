from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bioadv.network import models, readout, recipes, training
from bioadv.network.models import TwoLayer


@pytest.fixture
def latents(generator):
    """Three overlapping classes in eight units of very different scales, one of them dead, and labels."""
    y = torch.randint(3, (300,), generator=generator)
    a = torch.randn(300, 8, generator=generator, dtype=torch.float64) + torch.eye(3, 8)[y] * 1.5
    a = a * torch.logspace(-3, 3, 8) + 5
    a[:, 4] = 0
    return a, y


def test_solution_is_that_of_another_library(latents):
    a, y = latents
    (found,) = readout.path(a, y, [0.01], 3)
    standard = (a - a.mean(0)) / a.std(0).clamp_min(1e-12)
    other = LogisticRegression(C=1 / (0.01 * len(a)), tol=1e-10, max_iter=5000).fit(standard.numpy(), y.numpy())
    z = a @ found.readout.T + found.bias
    theirs = torch.from_numpy(standard.numpy() @ other.coef_.T + other.intercept_)
    torch.testing.assert_close(z - z.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True), atol=2e-3, rtol=0)
    assert found.converged
    assert (found.readout[:, 4] == 0).all()
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(z, y)), abs=1e-9)


def test_gradient_in_closed_form_is_that_of_autograd(latents, generator):
    a, y = latents
    flat = torch.randn(27, generator=generator, dtype=torch.float64, requires_grad=True)
    s = (a - a.mean(0)) / a.std(0).clamp_min(1.0)
    z = s @ flat.view(3, 9)[:, :-1].T + flat.view(3, 9)[:, -1]
    loss = torch.nn.functional.cross_entropy(z, y) + 0.05 * flat.view(3, 9)[:, :-1].square().sum()
    loss.backward()
    value, gradient = readout._loss(flat.detach().numpy(), s, y, 0.1, (3, 9))
    assert value == pytest.approx(loss.item())
    np.testing.assert_allclose(gradient, flat.grad.numpy(), atol=1e-12)


def test_along_the_path_the_norm_grows_and_the_loss_falls(latents):
    a, y = latents
    found = readout.path(a, y, [1.0, 0.1, 0.01, 0.001], 3)
    assert all(one.converged for one in found)
    assert all(later.norm > earlier.norm and later.loss < earlier.loss for earlier, later in pairwise(found))
    (cold,) = readout.path(*latents, [0.001], 3)
    torch.testing.assert_close(cold.readout * a.std(0), found[-1].readout * a.std(0), atol=1e-2, rtol=0)


def test_single_precision_agrees_with_double(latents):
    a, y = latents
    single, double = (readout.path(part, y, [0.01], 3)[0] for part in (a.float(), a))
    assert single.converged
    assert single.loss == pytest.approx(double.loss, abs=1e-5)


def test_what_has_not_converged_says_so(latents):
    a, y = latents
    (found,) = readout.path(a, y, [1e-6], 3, limit=2)
    assert not found.converged
    assert found.gradient > readout.TOLERANCE
    assert found.steps <= 2


@pytest.mark.parametrize(
    ("penalties", "message"),
    [
        ([0.1, 1.0], "each smaller"),
        ([0.1, 0.1], "each smaller"),
        ([-1.0], "positive"),
        ([], "positive"),
        ([np.nan], "positive"),
    ],
)
def test_bad_penalties_are_refused(latents, penalties, message):
    with pytest.raises(ValueError, match=message):
        readout.path(*latents, penalties, 3)


def test_bad_latents_are_refused(latents):
    a, y = latents
    for bad, labels, message in [
        (torch.ones(300, 8), y, "latents are constant"),
        (a[:9], y, r"latents have shape \(9, 8\), labels \(300,\)"),
        (a * torch.nan, y, "give finite"),
        (a, y + 1, "labels span 1 to 3; give 0 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            readout.path(bad, labels, [0.1], 3)
    with pytest.raises(ValueError, match="limit = 0"):
        readout.path(a, y, [0.1], 3, limit=0)


def test_a_unit_too_faint_for_the_precision_gets_no_weight(latents):
    """Its spread is a number in float64 and none, or nearly none, in float32: the solver would divide by it."""
    a, y = latents
    faint = torch.zeros(len(a), 1, dtype=torch.float32)
    faint[0] = 1e-38
    (found,) = readout.path(torch.cat([a.float(), faint], 1), y, [0.1], 3)
    assert bool((found.readout[:, -1] == 0).all())
    (without,) = readout.path(a.float(), y, [0.1], 3)
    torch.testing.assert_close(found.readout[:, :-1], without.readout)


def test_no_ridge_helps_against_a_nan():
    with pytest.raises(FloatingPointError, match="no ridge up to .* check the latents"):
        readout._root(torch.full((2, 2), torch.nan, dtype=torch.float64), 0.1)


def test_the_path_of_adam_is_that_of_training(latents):
    """The same steps as training takes with the constant schedule, and it stops where it is asked to."""
    a, y = latents[0].float() / 100, latents[1]
    model = models.init(TwoLayer(4, 8, 3), torch.Generator().manual_seed(1))
    start = model.readout.detach().clone(), model.bias.detach().clone()
    path = readout.adam(start, a, y, [1, 3], 50, torch.Generator().manual_seed(2))
    found = {epoch: (weights, bias) for epoch, weights, bias in path}
    assert list(found) == [1, 3]
    recipe = recipes.Recipe("constant", epochs=3, batch=50)
    order = torch.Generator().manual_seed(2)
    trained = training.fit(model, a, y, recipe, order, readout_only=True, progress=False).model
    torch.testing.assert_close(found[3][0], trained.readout.detach())
    torch.testing.assert_close(found[3][1], trained.bias.detach())
    assert not torch.equal(found[1][0], found[3][0])
    assert not torch.equal(start[0], found[1][0])


@pytest.mark.parametrize("epochs", [[], [0, 1], [2, 1], [1, 1]])
def test_bad_epochs_are_refused(latents, epochs):
    a, y = latents
    with pytest.raises(ValueError, match=r"epochs = \["):
        next(readout.adam((torch.zeros(3, 8), torch.zeros(3)), a, y, epochs, 50, torch.Generator()))


def test_rows_of_another_length_give_the_same_network(latents):
    a, y = latents
    for factor in (1e-3, torch.linspace(0.1, 10, 8).double()):
        one, other = (readout.path(part, y, [0.1, 0.01], 3)[-1] for part in (a, a * factor))
        moved = (one.readout - other.readout * factor) * a.std(0)  # in units of variance 1
        assert float(moved.abs().max()) < 5e-3


def test_units_that_are_nearly_copies_take_few_steps(generator):
    """As rows that resemble images are; L-BFGS without the change of coordinates takes hundreds of steps."""
    y = torch.randint(3, (2000,), generator=generator)
    common = torch.randn(2000, 1, generator=generator, dtype=torch.float64)
    own = torch.randn(2000, 40, generator=generator, dtype=torch.float64)
    a = common + own * torch.logspace(0, -3, 40) + 0.3 * torch.eye(3, 40)[y]
    (found,) = readout.path(a, y, [1e-6], 3)
    assert found.converged
    assert found.steps < 60


def test_copies_in_single_precision_have_a_solution_for_tiny_penalties(generator):
    """Rounding leaves their covariance with negative eigenvalues, larger than the penalty."""
    y = torch.randint(3, (400,), generator=generator)
    seen = torch.randn(400, 5, generator=generator) + torch.eye(3, 5)[y]
    a = seen @ torch.randn(5, 60, generator=generator)
    assert a.dtype == torch.float32
    weak, none = readout.path(a, y, [1e-6, 1e-10], 3)
    assert weak.converged
    assert none.converged
    assert none.loss <= weak.loss
    z, few = a @ none.readout.T + none.bias, readout.path(seen.double(), y, [1e-8], 3)[0]
    assert float(torch.nn.functional.cross_entropy(z, y)) == pytest.approx(few.loss, abs=1e-3)
