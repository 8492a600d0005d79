import pytest
import torch

from bioadv.data.moments import Moments
from bioadv.measure import gaussian_latents, spectra


@pytest.fixture
def latent(generator):
    """Moments of eight units of different means, variances and correlations; the last does not vary."""
    turn = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    turn[7] = 0
    mean = torch.linspace(0, 2, 8, dtype=torch.float64)
    return Moments(1000, mean, turn @ turn.T), turn


@pytest.mark.parametrize("power", [1, 2, 4.5])
def test_moments_are_those_of_many_gaussian_latents(latent, generator, power):
    of, turn = latent
    of, turn = Moments(of.count, of.mean, of.covariance / 9), turn / 3  # high powers of wide latents are hard to sample
    z = torch.randn(400_000, 5, generator=generator, dtype=torch.float64)
    sampled = spectra.moments((z @ turn.T + of.mean).clamp_min(0).pow(power))
    found = gaussian_latents.activated(of, power)
    torch.testing.assert_close(found.mean, sampled.mean, rtol=0.03, atol=1e-3)
    scale = sampled.covariance.diagonal().sqrt().clamp_min(1e-9)
    correlation = [covariance / scale[:, None] / scale for covariance in (found.covariance, sampled.covariance)]
    assert (correlation[0] - correlation[1]).abs().max() < 0.06
    assert found.covariance[7].abs().max() < 1e-20


def test_without_means_it_is_the_arc_cosine_kernel(generator):
    """Cho and Saul (2009), order 1: (sin t + (pi - t) cos t) / 2 pi for unit variances, less the product of means."""
    turn = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator, dtype=torch.float64), dim=1)
    rho = turn @ turn.T
    t = rho.clamp(-1, 1).arccos()
    kernel = (t.sin() + (torch.pi - t) * rho) / (2 * torch.pi)
    found = gaussian_latents.activated(Moments(9, torch.zeros(6, dtype=torch.float64), rho), 1)
    torch.testing.assert_close(found.covariance, kernel - 1 / (2 * torch.pi), atol=2e-4, rtol=0)


def test_where_units_are_never_off_the_activation_changes_nothing(latent):
    of, _ = latent
    far = Moments(of.count, of.mean + 100, of.covariance)
    torch.testing.assert_close(gaussian_latents.activated(far, 1).covariance, of.covariance, atol=1e-6, rtol=1e-6)


def test_no_eigenvalue_is_below_that_of_the_stretched_latent(latent):
    of, _ = latent
    first, full = (gaussian_latents.activated(of, 2, terms).covariance for terms in (1, 60))
    deviation = of.covariance.diagonal().sqrt()
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    slope = ((2 * (of.mean[:, None] + deviation[:, None] * z).clamp_min(0)) @ weight) / weight.sum()
    stretched = slope[:, None] * of.covariance * slope
    off = ~torch.eye(8, dtype=torch.bool)
    torch.testing.assert_close(first[off], stretched[off], rtol=1e-4, atol=1e-6)
    bound, found = (torch.linalg.eigvalsh(matrix) for matrix in (stretched, full))
    assert (found >= bound - 1e-9).all()


@pytest.mark.parametrize(("power", "terms"), [(0.5, 9), (float("nan"), 9), (2, 0)])
def test_bad_powers_and_terms_are_refused(latent, power, terms):
    with pytest.raises(ValueError, match=r"power = .*, terms = .; give q >= 1 and at least one term"):
        gaussian_latents.activated(latent[0], power, terms)


def test_variances_do_not_depend_on_the_number_of_terms(latent):
    short, long = (gaussian_latents.activated(latent[0], 1, terms).covariance for terms in (2, 60))
    torch.testing.assert_close(short.diagonal(), long.diagonal())
    assert (short - long).abs().max() > 1e-3
