import copy
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch

from bioadv.network import idle, models, steps, training
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian, Penalty
from bioadv.network.spectral_penalty import Spectral

EMPTY = slice(0, None, 3)  # of 30 units


@dataclass(frozen=True)
class Quiet(Penalty):
    """One that somebody writes: a mean over units, as in ``book/extending.md``."""

    def added(self, model, h, directions=None):
        return model.activate(h).mean()


def started(penalty, power=1.0, batch_norm=False):
    """A model after two epochs, in which a third of the units has come to rest, and its optimizer."""
    generator = torch.Generator().manual_seed(0)
    model = models.init(TwoLayer(40, 30, 4, power, batch_norm), generator)
    x = torch.rand(64, 40, generator=generator)
    y = torch.randint(4, (64,), generator=generator)
    recipe = Recipe(penalty=penalty, epochs=6, batch=16)
    optimizer = steps.adam(model, recipe, False)
    step = steps.step_function(model, optimizer, recipe, False)
    for i in range(0, 64, 16):
        step(x[i : i + 16], y[i : i + 16], None)
    with torch.no_grad():
        model.hidden[EMPTY] = 0
        optimizer.state[model.hidden]["exp_avg"][EMPTY] = 0
        optimizer.state[model.readout]["exp_avg"][:, EMPTY] = 0
        if isinstance(penalty, L2):
            model.readout[:, EMPTY] = 0
    return model, optimizer, recipe, x, y


def epochs(model, optimizer, recipe, x, y, seen, count=3):
    """Some epochs as :func:`bioadv.network.training.fit` has them; ``seen`` gets the units that took part."""
    whole = steps.step_function(model, optimizer, recipe, False)
    sums = []
    for _ in range(count):
        with steps.lighter(whole, model, optimizer, recipe, False) as step:
            seen.append(30 if step is whole else 20)
            sums += [step(x[i : i + 16], y[i : i + 16], None) for i in range(0, 64, 16)]
    return torch.stack(sums)


@pytest.mark.parametrize("power", [1.0, 4.5])
@pytest.mark.parametrize("penalty", [None, L2(), JacobianPublished(batch=16), LatentJacobian(), LogitJacobian()])
def test_a_training_without_the_units_at_rest_is_the_same(penalty, power, monkeypatch):
    """Losses, weights and the optimizer's state, as if they had taken part; they themselves stay as they are."""
    first = started(penalty, power)
    other = copy.deepcopy(first[0]), *first[1:]
    optimizer = steps.adam(other[0], first[2], False)
    optimizer.load_state_dict(copy.deepcopy(first[1].state_dict()))
    light, full = [], []
    rested = first[0].readout.detach()[:, EMPTY].clone()
    found = epochs(*first, light)
    monkeypatch.setattr(idle, "WORTH", 1.0)
    exact = epochs(other[0], optimizer, *first[2:], full)
    assert (light, full) == ([20] * 3, [30] * 3)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)
    for (name, mine), theirs in zip(first[0].named_parameters(), other[0].parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)
        for key, value in first[1].state[mine].items():
            expected = optimizer.state[theirs][key].clone()
            if key == "exp_avg_sq" and value.ndim == 2:  # of gradients that are zero for good: nothing divides by it
                rows = (EMPTY,) if name == "hidden" else (slice(None), EMPTY)
                expected[rows] = value[rows]
            torch.testing.assert_close(value, expected, msg=f"{name}, {key}")
    assert not first[0].hidden[EMPTY].any()
    assert torch.equal(first[0].readout[:, EMPTY], rested)


def test_what_still_moves_is_not_at_rest():
    """A row that Adam remembers, or a readout that it moves or that decays, keeps its unit."""
    model, optimizer, *_ = started(JacobianPublished(batch=16))
    assert idle.resting(model, optimizer)[EMPTY].all()
    assert int(idle.resting(model, optimizer).sum()) == 10
    optimizer.state[model.hidden]["exp_avg"][0, 5] = 1e-20
    optimizer.state[model.readout]["exp_avg"][1, 3] = 1e-20
    with torch.no_grad():
        model.hidden[6, 2] = 1e-30
    assert idle.resting(model, optimizer).nonzero()[:, 0].tolist() == [9, 12, 15, 18, 21, 24, 27]
    model, optimizer, *_ = started(L2())
    with torch.no_grad():
        model.readout[2, 3] = 1e-20
    assert idle.resting(model, optimizer).nonzero()[:, 0].tolist() == [0, *range(6, 30, 3)]


def test_where_all_units_are_needed():
    """Batch norm and penalties on all units see those of zeros, a few are not worth a copy, and not all can leave."""
    model, optimizer, *_ = started(None, batch_norm=True)
    assert not idle.resting(model, optimizer).any()
    model, optimizer, recipe, *_ = started(None)
    whole = steps.step_function(model, optimizer, recipe, False)
    for penalty in (Spectral(), Quiet()):
        with steps.lighter(whole, model, optimizer, Recipe(penalty=penalty), False) as step:
            assert step is whole
    with torch.no_grad():
        model.hidden[1:] += 1
    with steps.lighter(whole, model, optimizer, recipe, False) as step:
        assert step is whole
    with torch.no_grad():
        model.hidden.zero_()
        for weights in (model.hidden, model.readout):
            optimizer.state[weights]["exp_avg"].zero_()
    with steps.lighter(whole, model, optimizer, recipe, False) as step:
        assert step is whole


def test_fit_leaves_them_out(monkeypatch):
    """A decay that empties most units: every epoch asks which rest, and the log and model are as with all of them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 40, generator=generator)
    y = torch.randint(4, (64,), generator=generator)
    widths, ended = [], []
    original = idle.left_out

    @contextmanager
    def watched(model, optimizer, make):
        with original(model, optimizer, make) as (light, moving):
            widths.append(len(light.hidden))
            yield light, moving

    monkeypatch.setattr(idle, "left_out", watched)
    for worth in (0.05, 1.0):
        monkeypatch.setattr(idle, "WORTH", worth)
        model = models.init(TwoLayer(40, 30, 4), torch.Generator().manual_seed(1))
        with torch.no_grad():
            model.hidden[EMPTY] = 0  # from the start, so that none of their gradients is ever anything but zero
        log = training.fit(model, x, y, Recipe(epochs=4, batch=16), generator.manual_seed(2), progress=False).log
        ended.append((model, log))
    assert widths == [30, 20, 20, 20, 30, 30, 30, 30]
    (light, log), (whole, exact) = ended
    for mine, theirs in zip(light.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    for name, values in log.items():
        torch.testing.assert_close(torch.from_numpy(values), torch.from_numpy(exact[name]), rtol=1e-5, atol=1e-7)
