"""Checkpoints: the state of a training, from which it can go on, in a file that says which training it is of."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bioadv.data.files import read_tensors, write_tensors

BEGUN = "begun"  # name, in an identity, of what :func:`begun` says


def begun(generator: torch.Generator, tensors: Mapping[str, torch.Tensor]) -> str:
    """A mark of where a training began: its generator's state, and the sums of its first weights to three digits.

    Not their bits, which can differ in the last place on another processor, where a training may go on as well.
    """
    sums = [f"{float(tensor.detach().double().sum()):.3g}" for _, tensor in sorted(tensors.items())]
    return " ".join([hashlib.sha256(generator.get_state().numpy().data).hexdigest()[:12], *sums])


class Spare(str):
    """The path of a state that a training can do without: where the disk refuses it, the training goes on."""


def write(
    path: Path | str, tensors: Mapping[str, torch.Tensor], epoch: int, seconds: float, identity: Mapping[str, Any]
) -> None:
    """Write the state of a training after ``epoch``, for :func:`read`.

    path: a :class:`Spare` for a state that may be lost; identity: JSON-able values that must agree between this run and
    the one that goes on from it.
    """
    with contextlib.suppress(OSError) if isinstance(path, Spare) else contextlib.nullcontext():
        write_tensors(path, tensors, epoch=epoch, seconds=seconds, identity=identity)


def read(
    path: Path | str,
    kind: str,
    identity: Mapping[str, Any],
    like: Mapping[str, torch.Tensor],
    epochs: int,
    generator: torch.Generator,
) -> tuple[dict[str, torch.Tensor], int, float]:
    """Read a state that this run can go on from: its tensors, the epochs done, the seconds they took.

    kind: what the error calls it; like: tensors with the names, shapes and types that the state must have, beside the
    generator's, which is set here; epochs: of the whole run. Raises ``ValueError`` with the file, what does not fit and
    the remedy; nothing is changed then.
    """
    tensors, about = read_tensors(path)
    remedy = "go on with that, give another --out folder (or checkpoint file), or delete this one to begin anew"
    stored, epoch, seconds = (about.get(name) for name in ("identity", "epoch", "seconds"))
    if not isinstance(stored, dict) or "generator" not in tensors:
        raise ValueError(f"{path} is not a checkpoint of {kind}; give another file name")
    for name, value in identity.items():
        if name == BEGUN and name not in stored:  # written before it was kept
            continue
        if stored.get(name) != value:
            raise ValueError(f"{path} was made with {name} = {stored.get(name)}, this run has {value}; {remedy}")
    if type(epoch) is not int or not 1 <= epoch <= epochs:
        raise ValueError(f"{path} is of epoch {epoch}, this run has epochs 1 to {epochs}; {remedy}")
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ValueError(f"{path} took {seconds} seconds; {remedy}")
    state = tensors.pop("generator")
    if different := sorted(tensors.keys() ^ like.keys()):
        verb = "lacks" if different[0] in like else "has, unlike this run,"
        raise ValueError(f"{path} {verb} {different[0]}; {remedy}")
    for name, tensor in like.items():
        have, want = ((str(t.dtype), tuple(t.shape)) for t in (tensors[name], tensor))
        if have != want:
            raise ValueError(f"{path} has {name} as {have[0]} {have[1]}, this run as {want[0]} {want[1]}; {remedy}")
    set_state(generator, state, path)
    return tensors, epoch, seconds


def set_state(generator: torch.Generator, state: torch.Tensor, path: Path | str) -> None:
    """Set a generator to the state read from the checkpoint ``path``; ``ValueError`` if it is another device's."""
    own = generator.get_state()
    if (state.dtype, state.shape) != (own.dtype, own.shape):
        raise ValueError(
            f"{path} was made on another kind of device than {generator.device}; go on there, or delete the file"
        )
    generator.set_state(state)
