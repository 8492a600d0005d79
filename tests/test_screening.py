from dataclasses import replace

import pytest
import torch

from bioadv.network import local_learning as ll
from bioadv.network import screening
from bioadv.network.kh_params import KHParams
from bioadv.network.screening import Screen
from bioadv.network.states import Keeping

PARAMS = KHParams(hidden=60, delta=0.2, batch=50, epochs=4)


def images(count, inputs=200):
    """Like photographs: a mean that all share, in which most of every response lies."""
    generator = torch.Generator().manual_seed(1)
    x = 1 + 0.3 * torch.randn(count, inputs, generator=generator).cumsum(1) / inputs**0.5
    x = x.clamp_min(0)
    return x / torch.linalg.vector_norm(x, 3, dim=1, keepdim=True)


def layer(dtype=torch.float32, **changes):
    params = replace(PARAMS, **changes)
    w = ll.init(params, 200, torch.Generator().manual_seed(2), dtype)
    w[::7] *= 5  # units far from their norm, as in the first epochs
    return params, w, ll.metric(w, params.p)


@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leaders_are_those_of_the_whole_product(k, dtype):
    _, _, m = layer(dtype)
    x = images(300).to(dtype)
    screen = Screen(m, x[:20])
    response, unit = screen.leaders(x, k)
    exact, wanted = (x @ m.T).topk(k, dim=1)
    assert torch.equal(unit, wanted)
    torch.testing.assert_close(response, exact, rtol=1e-5 if dtype == torch.float32 else 1e-13, atol=0)
    assert k <= screen.candidates < 30


def test_the_bound_holds_for_every_response():
    """Also where a unit is large and where two of them agree."""
    _, _, m = layer()
    m[3], m[4] = m[2], m[2] * (1 + 1e-4)
    x = images(300)
    h, off = Screen(m, x[:20])._screened(x)
    share = (h.double() - x.double() @ m.double().T).abs() / off
    assert float(share.max()) <= 1
    assert float(share.max()) > 0.02


def test_each_part_of_the_bound_is_needed(monkeypatch):
    """Operands that bfloat16 rounds as badly as it can, all the same way, come next to the bound and not above it."""
    bad = 1 + 2.0**-8 - 2.0**-16  # rounds to 1
    one, off_by_most = torch.ones(1, 200), torch.full((1, 200), bad)
    assert share(torch.ones(1, 257), torch.ones(1, 257)) == pytest.approx(1, abs=0.05)  # 257 rounds to 256
    monkeypatch.setattr(screening, "ROUNDED", 0.0)
    for x, m in ((one, off_by_most), (off_by_most, one), (off_by_most, off_by_most)):
        assert 0.9 < share(x, m) <= 1


def share(x, m):
    """The largest error of a response as a share of its bound, for images without a mean."""
    h, off = Screen(m, torch.zeros_like(x[:1]))._screened(x)
    return float(((h.double() - x.double() @ m.double().T).abs() / off).max())


def test_near_ties_are_decided_in_full_precision():
    """Two units closer than bfloat16 can tell: both are candidates, and the larger one wins."""
    _, _, m = layer()
    x = images(100)
    m[10:14] = x.mean(0) * torch.tensor([3.0, 3.0 * (1 + 1e-5), 3.0 * (1 - 1e-5), 3.0])[:, None]
    m[14:] *= 0.01
    m[:10] *= 0.01
    unit = Screen(m, x).leaders(x, 2)[1]
    assert (unit[:, 0] == 11).all()


def test_steps_are_those_without_a_screen():
    """Rows that change are followed: after many steps the layer is the same to rounding, and so is each winner."""
    params, w, m = layer()
    plain, x = w.clone(), images(1000)
    plain_m = m.clone()
    screen = Screen(m, x[:50])
    for some in x.split(50):
        wins = ll.step(plain, plain_m, some, params, 0.02)
        assert torch.equal(ll.step(w, m, some, params, 0.02, screen), wins)
    torch.testing.assert_close(w, plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(screen.low, m.bfloat16())
    torch.testing.assert_close(screen.offset, m @ screen.centre)


def test_where_too_many_are_left_the_whole_product_decides(monkeypatch):
    _, _, m = layer()
    x = images(100)
    monkeypatch.setattr(screening, "MOST", 1)
    screen = Screen(m, x)
    response, unit = screen.leaders(x, 2)
    assert screen.candidates == len(m)
    exact, wanted = (x @ m.T).topk(2, dim=1)
    assert torch.equal(unit, wanted)
    assert torch.equal(response, exact)


def test_training_by_a_screen(tmp_path):
    """Every epoch is as without one, and a checkpoint of the one is not gone on with by the other."""
    x, file = images(400), tmp_path / "layer.safetensors"
    plain = ll.train(x, PARAMS, torch.Generator().manual_seed(5), progress=False)
    fast = ll.train(x, PARAMS, torch.Generator().manual_seed(5), screen=Screen, progress=False)
    torch.testing.assert_close(fast.synapses, plain.synapses, atol=1e-4, rtol=0)
    assert fast.history["winning"].tolist() == plain.history["winning"].tolist()
    ll.train(x, PARAMS, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
    with pytest.raises(ValueError, match="was made with screened = None, this run has True"):
        ll.train(x, PARAMS, torch.Generator().manual_seed(5), screen=Screen, keeping=Keeping(file), progress=False)
    file.unlink()
    ll.train(x, PARAMS, torch.Generator().manual_seed(5), screen=Screen, keeping=Keeping(file), progress=False)
    with pytest.raises(ValueError, match="was made with screened = True, this run has None"):
        ll.train(x, PARAMS, torch.Generator().manual_seed(5), keeping=Keeping(file), progress=False)
