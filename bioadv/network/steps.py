"""One step of training with labels: the optimizer, the loss and its penalty, and the step without units at rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from bioadv.network import idle
from bioadv.network.graphs import captured
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe

Tensor = torch.Tensor


def adam(model: TwoLayer, recipe: Recipe, readout_only: bool) -> torch.optim.Adam:
    """Adam; a penalty that is a weight decay is applied inside it, which is exact and costs nothing."""
    hidden, rest = recipe.term.decay()
    norm = [] if model.norm is None or readout_only else list(model.norm.parameters())
    groups: list[dict[str, Any]] = [{"params": [model.readout, model.bias, *norm], "weight_decay": rest}]
    if not readout_only:
        groups.append({"params": [model.hidden], "weight_decay": hidden})
    on_gpu = model.hidden.is_cuda
    rate = torch.tensor(1e-3, device=model.hidden.device) if on_gpu else 1e-3
    return torch.optim.Adam(groups, lr=rate, fused=True, capturable=on_gpu)


def set_rate(optimizer: torch.optim.Adam, rate: float) -> None:
    """Give all groups of the optimizer the learning rate of an epoch."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # in place: a recorded graph reads it from there
        else:
            group["lr"] = rate


def step_function(model: TwoLayer, optimizer: torch.optim.Adam, recipe: Recipe, readout_only: bool) -> Any:
    """One step (inputs, labels, directions) -> loss, entropy, penalty and number of right answers, (4,) float64."""

    def row_value(rows: Tensor) -> Tensor:
        weights = model.hidden.detach()
        return (rows * torch.linalg.vecdot(weights, weights)).sum() / 2

    def step(inputs: Tensor, labels: Tensor, directions: Tensor | None) -> Tensor:
        rows = None
        if readout_only:
            logits, extra = model.logits(inputs), model.bias.new_zeros(())
        else:
            h = model.before(inputs)
            logits = model.logits(model.activate(h))
            rows = recipe.term.row_decay(model, h)
            extra = recipe.term.added(model, h, directions) if rows is None else row_value(rows)
        entropy = cross_entropy(logits, labels)
        loss = entropy + extra
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if rows is not None and model.hidden.grad is not None:
            model.hidden.grad.addcmul_(model.hidden.detach(), rows[:, None])
        optimizer.step()
        right = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([value.detach().double() for value in (loss, entropy, extra, right)])

    return captured(step, model, optimizer) if model.hidden.is_cuda else step


@contextlib.contextmanager
def lighter(
    step: Any, model: TwoLayer, optimizer: torch.optim.Adam, recipe: Recipe, readout_only: bool
) -> Iterator[Any]:
    """The step without the units at rest, if there are enough; not where a graph or the penalty knows of all."""
    if readout_only or model.hidden.is_cuda or not recipe.term.by_unit:
        yield step
        return
    with idle.left_out(model, optimizer, lambda light: adam(light, recipe, False)) as (light, moving):
        yield step if light is model else step_function(light, moving, recipe, False)
