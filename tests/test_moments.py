"""The one place that sums covariances, against torch's own definition."""

import pytest
import torch

from bioadv.data import moments
from bioadv.network import products


@pytest.mark.parametrize("size", [1, 70, 300, 1000])
@pytest.mark.parametrize("product", [moments.outer, products.outer])
def test_moments_of_batches_are_those_of_all_rows(generator, size, product):
    rows = torch.rand(300, 12, generator=generator, dtype=torch.float64) + 3
    found = moments.of_batches(rows.split(size), product)
    assert found.count == 300
    torch.testing.assert_close(found.mean, rows.mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(rows.T))


def test_rows_keep_their_precision_and_a_large_mean_costs_no_digits(generator):
    rows = torch.rand(300, 12, generator=generator, dtype=torch.float64)
    far = moments.of_batches((rows + 1e6).split(70)).covariance
    torch.testing.assert_close(far, torch.cov(rows.T), rtol=1e-8, atol=1e-10)
    assert moments.of_batches(rows.float().split(70)).covariance.dtype == torch.float32


@pytest.mark.parametrize("rows", [[], [torch.zeros(1, 3)]])
def test_a_single_row_has_no_covariance(rows):
    with pytest.raises(ValueError, match=f"{len(rows)} rows were given; a covariance needs at least 2"):
        moments.of_batches(rows)
