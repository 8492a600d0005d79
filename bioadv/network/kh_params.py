"""Parameters of the Krotov-Hopfield rule: the paper's, and small ones that train within minutes.

The paper's are in its section on local learning; values read from the authors' code ``llearn_CIFAR.py`` and
``llearn_MNIST.py`` at e1b82cd.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from bioadv.data import checks

PAPER_POWER = 4.5  # q of ReLU^q behind the layer in the paper's KH model


@dataclass(frozen=True)
class KHParams:
    """Parameters of the rule; the defaults are the paper's for CIFAR-10. All are dimensionless.

    hidden: units H; p: order of the norm that each unit's synapses converge to; k: rank that is inhibited, >= 2;
    delta: strength of that inhibition; radius: R, the norm converged to; rate: first learning rate epsilon_0, the
    largest change of any synapse in one step; epochs, batch: passes over the images, images per step;
    init_mean, init_std: of the Gaussian initial synapses.
    """

    hidden: int = 2000
    p: float = 3.0
    k: int = 2
    delta: float = 0.4
    radius: float = 1.0
    rate: float = 0.02
    epochs: int = 1000
    batch: int = 1000
    init_mean: float = 0.0
    init_std: float = 1.0

    def __post_init__(self) -> None:
        values = asdict(self)
        counts = {name: values.pop(name) for name in ("hidden", "k", "epochs", "batch")}
        checks.whole(**counts)
        checks.finite(**values)
        ranges = {
            "hidden": (self.hidden >= 2, "at least 2 units are needed to compete"),
            "p": (self.p >= 1, "it is the order of a norm; give p >= 1"),
            "k": (2 <= self.k <= self.hidden, f"give a rank from 2 to hidden = {self.hidden}"),
            "delta": (self.delta >= 0, "give a strength >= 0"),
            "radius": (self.radius > 0, "give a radius > 0"),
            "rate": (self.rate > 0, "give a learning rate > 0"),
            "epochs": (self.epochs >= 2, "the last epoch has rate 0 and changes nothing; give at least 2"),
            "batch": (self.batch >= 1, "give at least 1"),
            "init_std": (self.init_std > 0, "give a standard deviation > 0"),
        }
        for name, (good, remedy) in ranges.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)}: {remedy}")


PAPER_CIFAR10 = KHParams()
PAPER_MNIST = KHParams(k=7, rate=0.04, batch=100)
# For the live cells. At this small size the paper's delta = 0.4 lets one unit win everything; 0.2 keeps the layer
# alive. 10,000 steps, more on CIFAR-10, whose norms are slower to converge.
LIVE = {
    "photo-patches": KHParams(hidden=100, delta=0.2, batch=100, epochs=200),
    "cifar10": KHParams(hidden=100, delta=0.2, batch=100, epochs=40),
    "mnist": KHParams(hidden=100, delta=0.2, batch=100, epochs=17),
}
ANY = KHParams(hidden=100, delta=0.1, batch=100)  # of other images: grey photographs die at 0.2
LIVE_STEPS = 10_000
LIVE_WORK = 3.1e9  # pixels seen in all, those of 10,000 batches of 32 x 32 x 3 images: a minute


def live_params(name: str, images: int, inputs: int = 3072) -> KHParams:
    """Parameters that train a small layer within minutes on the dataset ``name`` of that many training images.

    inputs: pixels of an image. Epochs are as many as ``LIVE_STEPS`` and ``LIVE_WORK`` allow, at least the two that
    the rule needs; for less work still, give fewer or smaller images.
    """
    if name in LIVE:
        return LIVE[name]
    steps = -(-images // ANY.batch)
    return replace(ANY, epochs=max(2, int(min(LIVE_STEPS / steps, LIVE_WORK / (images * inputs)))))
