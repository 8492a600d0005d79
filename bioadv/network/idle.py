"""Units that have come to rest leave the products of a training, and come back as they were.

A penalty that decays weights empties units that are of no use: their row of M is zero to the last bit, and so is what
Adam remembers of its gradients. Such a unit responds to no image, so no gradient moves its row again; it is out for
good. In the network that the published Jacobian term leaves this is a quarter of the units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.optim import Adam

from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
WORTH = 0.05  # share of the units from which on it is worth while to copy the others


@torch.no_grad()
def resting(model: TwoLayer, optimizer: Adam) -> Tensor:
    """Units (H,) that no step changes any more: neither their row, nor what Adam moves or decays of their readout."""
    none = torch.zeros(len(model.hidden), dtype=torch.bool, device=model.hidden.device)
    hidden, readout = (optimizer.state.get(weights, {}).get("exp_avg") for weights in (model.hidden, model.readout))
    if model.norm is not None or hidden is None or readout is None:
        return none
    moved = model.hidden.any(1) | hidden.any(1) | readout.any(0)
    decays = any(
        group["weight_decay"] and any(weights is model.readout for weights in group["params"])
        for group in optimizer.param_groups
    )
    return ~(moved | model.readout.any(0)) if decays else ~moved


@contextlib.contextmanager
def left_out(model: TwoLayer, optimizer: Adam, make: Callable[[TwoLayer], Adam]) -> Iterator[tuple[TwoLayer, Adam]]:
    """The model and its optimizer without the units at rest; what happens to them goes back into both afterwards.

    make: an optimizer with the same groups of parameters for another model. Both are themselves if few units rest.
    """
    kept = ~resting(model, optimizer)
    if int(kept.sum()) > (1 - WORTH) * len(kept) or not bool(kept.any()):
        yield model, optimizer
        return
    light = TwoLayer(model.hidden.shape[1], int(kept.sum()), len(model.bias), model.power).to(model.hidden.device)
    light.train(model.training)
    fast = make(light)
    for group, of_all in zip(fast.param_groups, optimizer.param_groups, strict=True):
        group["lr"] = of_all["lr"]
    everything = slice(None)
    pairs: list[tuple[Tensor, Tensor, Any]] = [  # a parameter, the lighter one's, where the one lies in the other
        (model.hidden, light.hidden, (kept,)),
        (model.readout, light.readout, (everything, kept)),
        (model.bias, light.bias, (everything,)),
    ]
    with torch.no_grad():
        for whole, part, place in pairs:
            part.copy_(whole[place])
            fast.state[part] = {
                name: value[place].clone() if value.shape == whole.shape else value
                for name, value in optimizer.state[whole].items()
            }
    yield light, fast
    with torch.no_grad():
        for whole, part, place in pairs:
            whole[place] = part
            for name, value in fast.state[part].items():
                if value.shape == part.shape:
                    optimizer.state[whole][name][place] = value
