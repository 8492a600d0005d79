import pytest
import torch

from bioadv.data.moments import Moments
from bioadv.measure import alignment, powerlaw, spectra


def power_law(count, alpha):
    return torch.arange(1, count + 1, dtype=torch.float64) ** -alpha


def rotation(size, generator):
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


@pytest.fixture
def images(generator):
    """Moments of images with a power-law covariance, and their principal components as columns."""
    components = rotation(60, generator)
    return Moments(
        1000, torch.zeros(60, dtype=torch.float64), components @ (power_law(60, 1.5).diag() @ components.T)
    ), components


def layer(spectrum, right, generator):
    """Weights (H, D) with these squared singular values and right singular vectors, in columns."""
    return rotation(len(spectrum), generator) @ spectrum.sqrt().diag() @ right.T


def test_aligned_exponents_add(images, generator):
    moments, components = images
    found = alignment.align(layer(power_law(60, 1.2), components, generator), moments)
    torch.testing.assert_close(found.latent, power_law(60, 2.7))
    assert found.deficit.abs().max() < 1e-6
    torch.testing.assert_close(found.rank, torch.arange(1, 61, dtype=torch.float64))
    torch.testing.assert_close(found.near, torch.ones(60, dtype=torch.float64))


def test_turned_weights_fall_short_as_horn_says(images, generator):
    moments, _ = images
    found = alignment.align(layer(power_law(60, 1.2), rotation(60, generator), generator), moments)
    assert (found.deficit <= 1e-9).all()
    assert found.deficit[:30].max() < -0.1
    assert found.near.mean() < 0.6
    last = found.deficit[-1]  # over all ranks determinants multiply, however the two are turned
    assert abs(last) < 1e-6


def test_eigenvalues_are_those_of_the_latent_and_of_noise(images, generator):
    moments, _ = images
    m = torch.randn(40, 60, generator=generator, dtype=torch.float64)
    m[3] = 0
    found = alignment.align(m, moments)
    latent = spectra.eigenspectrum(spectra.linear_moments(moments, m))
    torch.testing.assert_close(found.latent, latent[:39])
    assert len(found.weights) == 39
    torch.testing.assert_close(found.weights, torch.linalg.eigvalsh(m @ m.T).flip(0)[:39])
    fitted = powerlaw.fit(found.images.numpy(), (5, 50)).alpha
    assert fitted == pytest.approx(1.5, abs=1e-6)


def test_rank_and_near_say_where_a_singular_vector_lies(images, generator):
    """The first vector half on the second component and half on the eighth: geometric mean 4, nothing within 1 to 2."""
    moments, components = images
    right = components.clone()
    right[:, 0] = (components[:, 1] + components[:, 7]) / 2**0.5
    right[:, 1] = components[:, 0]
    right[:, 2] = (components[:, 1] - components[:, 7]) / 2**0.5
    right[:, 7] = components[:, 2]
    found = alignment.align(layer(power_law(60, 1.2), right, generator), moments)
    expected = {0: (4, 0.5), 1: (1, 1), 2: (4, 0.5), 3: (4, 1), 7: (3, 0)}
    for place, (rank, near) in expected.items():
        assert float(found.rank[place]) == pytest.approx(rank, rel=1e-5), place
        assert float(found.near[place]) == pytest.approx(near, abs=1e-5), place


@pytest.mark.parametrize("units", [20, 60, 90])
def test_it_is_that_of_the_singular_value_decomposition(images, generator, units):
    moments, _ = images
    m = torch.randn(units, 60, generator=generator, dtype=torch.float64)
    _, singular, right = torch.linalg.svd(m, full_matrices=False)
    variances, vectors = torch.linalg.eigh(moments.covariance)
    overlap = (right @ vectors.flip(1)).square()
    found = alignment.align(m, moments, alignment.components(moments))
    torch.testing.assert_close(found.weights, singular.square())
    torch.testing.assert_close(found.images, variances.flip(0))
    torch.testing.assert_close(found.rank, (overlap @ torch.arange(1, 61).double().log()).exp(), rtol=1e-5, atol=0)
    for count in (1, 10, 60):
        share = alignment.leading(3 * right, alignment.components(moments), count)
        torch.testing.assert_close(share, overlap[:, :count].sum(1))


def test_nearest_compares_less_the_mean_image():
    """Of two images the one is closer to the row in direction, the other once the mean is gone."""
    pixels = torch.tensor([[10.0, 12.0], [13.0, 10.0], [9.0, 9.0], [8.0, 9.0]])  # mean (10, 10)
    row = torch.tensor([[10.0, 10.5]])
    cosine, index = alignment.nearest(row, pixels, size=3)
    assert (index.item(), cosine.item()) == (0, pytest.approx(1))
    assert int((torch.nn.functional.normalize(row) @ torch.nn.functional.normalize(pixels).T).argmax()) != 0


def test_nearest_finds_the_image_that_a_row_was_made_of(generator):
    pixels = torch.rand(50, 20, generator=generator)
    cosine, index = alignment.nearest(pixels[[7, 31]] * 1.0, pixels, size=16)
    assert index.tolist() == [7, 31]
    torch.testing.assert_close(cosine, torch.ones(2))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3, 59), r"weights have shape \(3, 59\), the images 60 inputs"),
        (torch.zeros(3, 60), "weights are zero or not finite"),
        (torch.full((3, 60), torch.nan), "weights are zero or not finite"),
    ],
)
def test_bad_weights_are_refused(images, weights, message):
    with pytest.raises(ValueError, match=message):
        alignment.align(weights, images[0])
