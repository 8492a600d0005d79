"""The random streams of the study: which seeds torch's generators get, and for what. No two share one.

Equal seeds give equal numbers: noise from the seed of a model would *be* the weights that the model started from, and
attacks would search where the weights point. So each purpose has its own range, and a run's seed, a setting or an image
is a place in it. Numbers that stored results were made with stay as they are; a new purpose takes a new range. (The
phases of scrambled images have two seeds of their own behind those of noise, ``bioadv.data.variants.PHASES``.)
"""

from __future__ import annotations

from bioadv.data import checks

START = range(10_000)  # weights before training, of both layers (backpropagated, random, local): the run's seed
ORDER = range(10_000, 20_000)  # order of the images in training with labels: the run's seed
ATTACKS = range(20_000, 30_000)  # which images are attacked, the pool of noise, random starts: the setting of the probe
DRAWN = range(30_000, 40_000)  # what else a kind of hidden layer draws: the run's seed
NOISE = range(730_000, 740_000)  # images of noise, for spectra: the setting of the probe, as a whole number
PLANES = range(10**9, 10**9 + 10**7)  # planes of landscapes: 1000 times the setting, plus the image
REFEREES = range(2 * 10**9, 2 * 10**9 + 10**4)  # attacks of other people: the setting of the probe


def pick(stream: range, place: int) -> int:
    """The seed at a place of a stream; ``ValueError`` for a place outside of it, where another stream may be.

    >>> pick(START, 3), pick(ORDER, 3)
    (3, 10003)
    """
    checks.whole(seed=place)
    if not 0 <= place < len(stream):
        raise ValueError(f"seed = {place}; give an integer from 0 to {len(stream) - 1}")
    return stream[place]
