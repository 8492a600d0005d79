"""The state of a training with labels: kept in a file every so many epochs, and gone on from. It moves no number."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bioadv.data import checkpoints, checks
from bioadv.network.models import TwoLayer

if TYPE_CHECKING:
    from bioadv.network.recipes import Recipe

Tensor = torch.Tensor


@dataclass(frozen=True)
class Keeping:
    """Where a training keeps its state, or None for nowhere, and every how many epochs."""

    path: Path | str | None = None
    every: int = 10

    def __post_init__(self) -> None:
        checks.whole(every=self.every)
        if self.every < 1:
            raise ValueError(f"every = {self.every}; give the number of epochs between checkpoints, at least 1")

    def due(self, epoch: int, last: int) -> bool:
        """Whether the state is written after this epoch."""
        return self.path is not None and (epoch % self.every == 0 or epoch == last)


@dataclass(frozen=True, eq=False)
class State:
    """All that the next epoch depends on, and the log; each of them changes in place while training goes on."""

    model: TwoLayer
    optimizer: torch.optim.Adam
    generator: torch.Generator
    log: dict[str, np.ndarray]

    def write(self, path: Path | str | None, identity: dict[str, Any], epoch: int, seconds: float) -> None:
        """Write it, whole or not at all."""
        assert path is not None  # Keeping.due
        state = {**self._tensors(), "generator": self.generator.get_state()}
        checkpoints.write(path, state, epoch=epoch, seconds=seconds, identity=identity)

    def restore(self, path: Path | str | None, identity: dict[str, Any]) -> tuple[int, float]:
        """Read everything in place, if it is there; return the epochs done and the seconds they took.

        Raises ``ValueError`` for a file that is not of this run; nothing is changed then.
        """
        if path is None or not Path(path).exists():
            return 0, 0.0
        like = {**self._tensors(), **self._moments()}
        epochs = len(self.log["loss"])
        tensors, done, seconds = checkpoints.read(path, "training", identity, like, epochs, self.generator)
        self.model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".", 2)
                moments.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        for name, values in self.log.items():
            values[:] = tensors[f"log.{name}"].numpy()
        return done, seconds

    def _tensors(self) -> dict[str, Tensor]:
        """Weights, what Adam keeps, and the log, as named tensors."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return state | {f"log.{name}": torch.from_numpy(values) for name, values in self.log.items()}

    def _moments(self) -> dict[str, Tensor]:
        """What Adam keeps of each parameter after its first step, by name; values do not count."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return {
            f"adam.{index}.{name}": torch.zeros(()) if name == "step" else parameter
            for index, parameter in enumerate(parameters)
            for name in ("step", "exp_avg", "exp_avg_sq")
        }


def identity(
    model: TwoLayer, x: Tensor, y: Tensor, generator: torch.Generator, readout_only: bool, recipe: Recipe
) -> dict[str, Any]:
    """What must agree between a state and the run that goes on from it; of the model and generator as they are now."""
    data = hashlib.sha256(x.cpu().contiguous().view(torch.uint8).numpy().data)
    data.update(y.cpu().contiguous().numpy().data)
    return {
        "dtype": str(x.dtype),  # first: it changes the images' hash as well
        "data": data.hexdigest(),
        "seed": generator.initial_seed(),
        "shape": [*model.hidden.shape, len(model.bias)],
        "power": model.power,
        "batch_norm": model.norm is not None,
        "readout_only": readout_only,
        "penalty_kind": type(recipe.penalty).__name__,
        **json.loads(json.dumps(asdict(recipe))),  # as it is read back: a tuple is a list then
        checkpoints.BEGUN: checkpoints.begun(generator, dict(model.named_parameters())),
    }
