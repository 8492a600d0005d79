"""The same leaders of the local rule at less cost: bfloat16 products screen the units, full precision decides.

A step of the rule needs, for each image, the winner and the unit of rank k among H responses. A product in bfloat16
takes half of the time or less on processors that have it, but its responses are off in the third digit. How far each
can be off is bounded, so that a few units per image are left that may lead at all. Only their responses are then
computed in the precision of the weights. So the leaders are those of the full product, and not nearly so: another unit
can come first only where two responses agree to float32's rounding, as with any other order of the sums.

The bound. With images x less a common centre c, rounded to bfloat16 as x', and weights m rounded as m'::

    |(x - c) m - x' m'| <= |x - c - x'| |m| + |x'| |m - m'|

by the inequality of Cauchy and Schwarz, and the result is rounded once more. The centre makes all of this small: images
have a mean, in which most of every response lies, and c m is known to full precision.
"""

from __future__ import annotations

import warnings

import torch

from bioadv.network.local_learning import responses

Tensor = torch.Tensor
ROUNDED = 2.0**-8  # bfloat16 rounds to 8 binary digits: a number is off by this share of itself at most
FULL = 2.0**-23  # twice what float32 is off by: in the sum of each response, by the number of its terms times this
MOST = 32  # candidates per image; where there are more on average, the whole product is cheaper


class Screen:
    """Finds the leaders for the metric m (H, D) of a layer, which it follows as rows change.

    images: (N, D) some of those that it will see, for their mean. ``candidates`` is how many units per image were left
    to decide among in the last call of :meth:`leaders`, H where all were.
    """

    def __init__(self, m: Tensor, images: Tensor) -> None:
        self.m, self.centre, self.candidates = m, images.mean(0), 0.0
        self.low = torch.empty_like(m, dtype=torch.bfloat16)
        self.length, self.lost, self.offset = m.new_empty(3, len(m))  # |m|, |m - m'|, c m
        self.changed(torch.arange(len(m), device=m.device))

    def changed(self, rows: Tensor) -> None:
        """Take note that these rows (U,) of the metric have changed."""
        for some in rows.split(128):  # a piece stays in the processor's cache
            new = self.m[some]
            low = new.bfloat16()
            self.low[some], self.offset[some] = low, new @ self.centre
            self.length[some] = torch.linalg.vector_norm(new, dim=1)
            self.lost[some] = torch.linalg.vector_norm(new.sub_(low), dim=1)

    def leaders(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest responses to images x (B, D) and their units, both (B, k), largest first."""
        h, off = self._screened(x)
        least = (h - off).topk(k, dim=1)[0][:, -1:]  # no unit that stays below is among the first k
        image, unit = (h.add_(off) >= least).nonzero(as_tuple=True)
        if len(unit) > MOST * len(x):
            self.candidates = float(len(self.m))
            whole = responses(x, self.m).topk(k, dim=1)
            return whole.values, whole.indices
        self.candidates = len(unit) / len(x)
        counts = torch.bincount(image, minlength=len(x))
        ends = counts.cumsum(0)
        value = _products(x.to(self.m.dtype), self.m, ends, unit)
        first = ends - counts
        table = value.new_full((len(x), int(counts.max())), -torch.inf)  # a row per image, filled from the left
        table[image, torch.arange(len(unit), device=x.device) - first[image]] = value
        leading, place = table.topk(k, dim=1)
        return leading, unit[first[:, None] + place]

    def _screened(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Responses (B, H) from rounded operands, and how far each may be off."""
        centred = x.to(self.m.dtype) - self.centre
        low = centred.bfloat16()
        length = torch.linalg.vector_norm(low, dim=1, dtype=self.m.dtype)
        lost = torch.linalg.vector_norm(centred.sub_(low), dim=1)
        lost += FULL * x.shape[1] * (length + torch.linalg.vector_norm(self.centre))  # every sum is off by a little
        h = (low @ self.low.T).to(self.m.dtype)
        off = torch.stack([lost, length], 1) @ torch.stack([self.length, self.lost])
        off.addcmul_(h.abs(), h.new_tensor(ROUNDED)).mul_(1.001)  # the bound is itself a sum of rounded numbers
        return h.add_(self.offset), off


def _products(x: Tensor, m: Tensor, ends: Tensor, unit: Tensor) -> Tensor:
    """Responses of some units to each image: those from ``ends[i - 1]`` to ``ends[i]`` in ``unit`` to image i."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says once that its sparse matrices may change
        starts = torch.cat([ends.new_zeros(1), ends])
        wanted = torch.sparse_csr_tensor(starts, unit, x.new_zeros(len(unit)), (len(x), len(m)), check_invariants=False)
        return torch.sparse.sampled_addmm(wanted, x, m.T, beta=0.0).values()
