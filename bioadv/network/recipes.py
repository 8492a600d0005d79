"""How a network is trained with labels: schedule of the learning rate, penalty, epochs and batches; when it ends.

The schedules are those of the paper (authors' code, ``Trainers.py`` and ``Training_CIFAR10``), for 1000 epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bioadv.data import checks
from bioadv.network.regularizers import NoPenalty, Penalty

PAPER_EPOCHS = 1000
SCHEDULES = ("constant", "steps", "decaying")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: schedule of the learning rate, penalty, epochs, images per step.

    schedule: ``constant`` 1e-3; ``steps``, 1e-3, 5e-4, 2e-4, 1e-4, 1e-5 from epochs 1, 32, 92, 122, 162 on; or
    ``decaying``, 1e-3, from epoch 92 on falling by a factor e every 30 epochs (authors' ``Training_CIFAR10``). With
    another number of epochs than 1000 the schedule is stretched.
    """

    schedule: str = "steps"
    penalty: Penalty | None = None
    epochs: int = PAPER_EPOCHS
    batch: int = 1000

    def __post_init__(self) -> None:
        checks.known("schedule", self.schedule, SCHEDULES)
        frozen = getattr(type(self.penalty), "__dataclass_params__", None)
        if self.penalty is not None and not (isinstance(self.penalty, Penalty) and frozen and frozen.frozen):
            raise ValueError(
                f"penalty = {self.penalty!r}; give one of bioadv.network.regularizers, Spectral of spectral_penalty, a "
                "frozen dataclass of your own that is a Penalty, or None"
            )
        checks.whole(epochs=self.epochs, batch=self.batch)
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; give at least 1")

    @property
    def term(self) -> Penalty:
        """The penalty, or the one that does nothing."""
        return self.penalty or NoPenalty()

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, see :func:`learning_rate`."""
        return learning_rate(self.schedule, epoch, self.epochs)


def learning_rate(schedule: str, epoch: int, epochs: int = PAPER_EPOCHS) -> float:
    """Learning rate of epoch 1..epochs. As coded, epoch t uses the schedule's value at t - 1.

    >>> [learning_rate("steps", epoch) for epoch in (1, 31, 32)]
    [0.001, 0.001, 0.0005]
    """
    checks.known("schedule", schedule, SCHEDULES)
    t = (epoch - 1) * PAPER_EPOCHS / epochs
    if schedule == "constant":
        return 1e-3
    if schedule == "decaying":
        return 1e-3 if t <= 90 else 1e-3 * math.exp(-(t - 90) / 30)
    for last, rate in ((30, 1e-3), (90, 5e-4), (120, 2e-4), (160, 1e-4)):
        if t <= last:
            return rate
    return 1e-5


# A step of Adam moves no weight further than this times the rate: |m| / sqrt(v) <= (1 - b1) / sqrt((1 - b2)
# (1 - b1^2 / b2)) by the inequality of Cauchy and Schwarz, and the corrections for the start only make it smaller.
LONGEST_STEP = (1 - 0.9) / math.sqrt((1 - 0.999) * (1 - 0.9**2 / 0.999))  # 7.27
REACH = 1e-6  # how far all that is left of a schedule may still move any weight when training ends


def last_epoch(recipe: Recipe, images: int) -> int:
    """The epoch after which the rest of the schedule can move no weight by more than ``REACH``: training ends there.

    For the decaying schedule of 1000 epochs with 50 steps each it is epoch 577; the others never end early.

    >>> last_epoch(Recipe("decaying"), images=50_000)
    577
    """
    steps, left = math.ceil(images / recipe.batch), 0.0
    for epoch in range(recipe.epochs, 1, -1):
        left += LONGEST_STEP * steps * recipe.rate(epoch)
        if left > REACH:
            return epoch
    return 1


def evaluated(epoch: int, epochs: int) -> bool:
    """Whether accuracy is measured after this epoch: the first twenty, every tenth, and the last."""
    return epoch <= 20 or epoch % 10 == 0 or epoch == epochs
