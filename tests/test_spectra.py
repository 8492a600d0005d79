import numpy as np
import pytest
import torch

from bioadv.data import datasets
from bioadv.data.moments import Moments
from bioadv.measure import spectra
from bioadv.measure.powerlaw import fit
from bioadv.measure.spectra import eigenspectrum, moments
from bioadv.network import models
from bioadv.network.models import TwoLayer


def known(spectrum, count, offset=0.0, seed=0):
    """Samples (count, H), float64, whose *sample* covariance has exactly this spectrum, and a mean of this size.

    Random samples would not do: their covariance has a spectrum of its own (Marchenko and Pastur). The columns of a
    cosine transform are orthogonal to each other and to the constant; reflections then mix the units.
    """
    rng, units = np.random.default_rng(seed), len(spectrum)
    k, i = np.arange(1, units + 1), np.arange(count)
    columns = np.cos(np.pi / count * np.outer(i + 0.5, k)) * np.sqrt(2 / count)
    x = columns * np.sqrt(spectrum * (count - 1))
    for _ in range(2):
        v = rng.normal(size=units)
        v /= np.linalg.norm(v)
        x -= 2 * np.outer(x @ v, v)
    return torch.from_numpy(x + offset * rng.normal(size=units))


def power_law(alpha, units):
    return np.arange(1.0, units + 1) ** -alpha


@pytest.fixture
def latent(generator):
    return torch.randn(500, 40, generator=generator, dtype=torch.float64) * torch.logspace(0, -3, 40) + 3


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_known_exponents_are_recovered(alpha, offset):
    """Eigenvalue by eigenvalue, although the mean is a hundred times the largest standard deviation."""
    true = power_law(alpha, 200)
    found = eigenspectrum(moments(known(true, 3000, offset))).numpy()
    np.testing.assert_allclose(found, true, rtol=1e-4)
    assert fit(found, (11, 100)).alpha == pytest.approx(alpha, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_known_exponents_at_the_papers_size(alpha):
    """2000 units, 10,000 samples, ranks 11 to 500; a slow decay and a steep one."""
    found = eigenspectrum(moments(known(power_law(alpha, 2000), 10_000, 10.0)))
    assert len(found) == 2000
    assert fit(found).alpha == pytest.approx(alpha, abs=1e-3)


def test_the_published_estimator_has_a_floor():
    """Without a large mean it finds the spectrum; with one, small eigenvalues are replaced by rounding errors."""
    true = power_law(3.0, 200)
    for offset, good in ((0.0, True), (3.0, False)):
        x = known(true, 3000, offset)
        found = spectra.published(x.float().split(1000), shift=0.0)
        assert found.dtype == torch.complex64
        real = found.real.numpy()
        assert (np.diff(real) <= 0).all()
        np.testing.assert_allclose(real[:5], true[:5], rtol=0.01)
        assert (abs(fit(real, (11, 100), truncate=True).alpha - 3) < 0.05) == good
        mean = x[:1000].float().mean(0)
        better = spectra.published(x.float().split(1000), shift=mean).real
        assert fit(better, (11, 100)).alpha == pytest.approx(3, abs=0.05)


def test_tf32_products_raise_the_floor():
    x = known(power_law(3.0, 200), 3000, 3.0).float()
    plain, rounded = (spectra.published(x.split(1000), 0.0, r).real for r in (False, True))
    assert rounded[-1] < 100 * plain[-1] < 0


def test_published_estimator_is_the_definition_in_exact_arithmetic(generator):
    """Its formula is right; only its arithmetic is not: small integers, which float32 and TF32 hold exactly."""
    x = torch.randint(-3, 4, (64, 10), generator=generator).double()
    expected = eigenspectrum(moments(x))
    for rounded in (False, True):
        found = spectra.published(x.float().split(16), 1.0, rounded).real.double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_moments_are_the_definition(latent):
    for batches in (latent, latent.split(7), latent[:, :].split([1, 2, 497])):
        of = moments(batches)
        assert of.count == 500
        np.testing.assert_allclose(of.mean, latent.mean(0), rtol=1e-12)
        np.testing.assert_allclose(of.covariance, np.cov(latent.numpy().T), rtol=1e-9, atol=1e-14)


def test_a_huge_mean_costs_no_digits(generator):
    """A naive sum of squares would lose all digits at 1e8 times the spread."""
    x = torch.randn(300, 5, generator=generator, dtype=torch.float64)
    expected = moments(x).covariance
    torch.testing.assert_close(moments((x + 1e8).split(10)).covariance, expected, rtol=1e-6, atol=1e-6)


def test_linear_moments_are_those_of_the_latent(patches, generator):
    images = datasets.unit_lp(patches.test)[:400, :300]
    m = torch.randn(20, 300, generator=generator)
    short, full = spectra.linear_moments(moments(images), m), moments(images.double() @ m.double().T)
    torch.testing.assert_close(short.covariance, full.covariance)
    torch.testing.assert_close(short.mean, full.mean)
    assert short.count == 400


def test_latents_are_those_of_the_model_in_float64(generator):
    model = models.init(TwoLayer(12, 8, 3, 4.5, batch_norm=True), generator)
    model.norm.running_mean.uniform_(-1, 1, generator=generator)
    x = torch.rand(2500, 12, generator=generator)
    before = torch.cat(list(spectra.latents(model, x)))
    assert before.dtype == torch.float64
    assert not model.norm.num_batches_tracked  # evaluation mode: nothing is updated,
    assert model.training  # and the model itself is left as it was
    h = x.double() @ model.hidden.detach().double().T
    torch.testing.assert_close(before, (h - model.norm.running_mean) / (1 + 1e-5) ** 0.5, rtol=1e-6, atol=1e-6)
    after = torch.cat(list(spectra.latents(model, x, after=True)))
    torch.testing.assert_close(after, before.relu() ** 4.5)


def test_populations_are_parts_of_the_covariance(latent):
    of = moments(latent)
    torch.testing.assert_close(eigenspectrum(of, 10), eigenspectrum(moments(latent[:, :10])))
    chosen = torch.tensor([3, 17, 31])
    torch.testing.assert_close(eigenspectrum(of, chosen), eigenspectrum(moments(latent[:, chosen])))
    for units in (0, 41):
        with pytest.raises(ValueError, match=f"units = {units}; the latent has 40"):
            eigenspectrum(of, units)


def test_units_that_do_not_vary_carry_no_eigenvalue(latent):
    latent[:, 5], latent[:, 6], latent[:, 7] = 0, 0.1, -1e6
    kept = [j for j in range(40) if j not in (5, 6, 7)]
    found = eigenspectrum(moments(latent.split(33)))
    assert len(found) == 37
    torch.testing.assert_close(found, eigenspectrum(moments(latent[:, kept])))
    with pytest.raises(ValueError, match="none of the 3 units varies"):
        eigenspectrum(moments(latent[:, 5:8]))


def test_few_images_give_few_eigenvalues(latent):
    """N images span N - 1 directions; what lies beyond is not reported as a spectrum."""
    found = eigenspectrum(moments(latent[:16]))
    assert len(found) == 15
    with pytest.raises(ValueError, match="the spectrum has 15 eigenvalues; take more images"):
        fit(found, (3, 30))


def test_bad_latents_are_refused(latent):
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        moments([latent, latent / 0])
    with pytest.raises(ValueError, match="at least 2"):
        moments(latent[:1])
    with pytest.raises(ValueError, match="at least 2"):
        moments([])
    with pytest.raises(ValueError, match=r"shape \(500,\)"):
        moments(latent[:, 0])


def round_by_definition(value):
    mantissa, exponent = np.frexp(np.float64(value))
    return np.ldexp(np.round(mantissa * 2**11), exponent - 11)  # np.round takes ties to even


def test_tf32_keeps_ten_bits(generator):
    x = torch.randn(1000, generator=generator) * torch.logspace(-20, 20, 1000)
    ties = torch.tensor([1 + 2**-11, 1 + 3 * 2**-11, -1 - 2**-11, 2 - 2**-12, 0.0, -0.0, 1.0, torch.inf])
    for value, rounded in zip(torch.cat([x, ties[:-1]]), spectra.tf32(torch.cat([x, ties[:-1]])), strict=True):
        assert float(rounded) == round_by_definition(float(value))
    assert spectra.tf32(ties).tolist() == [1, 1 + 2**-9, -1, 2, 0, 0, 1, torch.inf]


def test_published_latents(generator):
    model = models.init(TwoLayer(12, 8, 3), generator)
    x = torch.rand(2500, 12, generator=generator)
    plain, rounded = (torch.cat(list(spectra.published_latents(model, x, r))) for r in (False, True))
    torch.testing.assert_close(plain, model.before(x).detach())
    assert 1e-5 < float((plain - rounded).abs().max()) < 1e-2


def test_bootstrap_tells_the_spread_over_samples(generator):
    """Of the exponent between independent samples of one distribution, within a factor 1.5."""
    scale = torch.from_numpy(power_law(1.0, 30)).sqrt()

    def exponent(spectrum):
        return torch.tensor(fit(spectrum, (2, 20)).alpha)

    samples = [torch.randn(400, 30, generator=generator, dtype=torch.float64) * scale for _ in range(60)]
    true = torch.stack([exponent(eigenspectrum(moments(x))) for x in samples]).std()
    found = torch.stack([spectra.bootstrap(x, exponent, 30, generator).std() for x in samples[:8]]).mean()
    assert 1 / 1.5 < float(found / true) < 1.5


def test_bootstrap_draws_blocks_together(generator):
    """Nine copies of every image add no information: only blocks see that."""
    x = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    copies, blocks = x.repeat(9, 1), torch.arange(50).repeat(9) + 1000

    def largest(spectrum):
        return spectrum[0]

    single = spectra.bootstrap(x, largest, 300, generator).std()
    by_block = spectra.bootstrap(copies, largest, 300, generator, blocks).std()
    by_image = spectra.bootstrap(copies, largest, 300, generator).std()
    assert float(by_block / single) == pytest.approx(1, abs=0.2)
    assert float(by_image / single) == pytest.approx(1 / 3, abs=0.1)


def test_bootstrap_of_one_draw_is_the_weighted_definition():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = spectra.bootstrap(x, lambda s: s, 2, torch.Generator().manual_seed(5))
    drawn = torch.randint(6, (6,), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found[0], eigenspectrum(moments(x[drawn])))


def test_bootstrap_of_few_images_has_as_many_eigenvalues_as_images_that_differ():
    """The others would be zero but for rounding, and an exponent over them is of nothing."""
    x = torch.randn(40, 200, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 201) ** -0.5
    seen = []
    spectra.bootstrap(x, lambda s: seen.append(s) or s[:1], 20, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    drawn = [len(torch.randint(40, (40,), generator=generator).unique()) for _ in range(20)]
    assert [len(spectrum) for spectrum in seen] == [count - 1 for count in drawn]
    assert all(spectrum[-1] > 1e-3 * spectrum[0] for spectrum in seen)


def test_bootstrap_refuses_what_cannot_be_resampled(latent, generator):
    for arguments, message in (
        ({"replicates": 1}, "replicates = 1"),
        ({"replicates": 5, "blocks": torch.zeros(500)}, "names 1 block"),
        ({"replicates": 5, "blocks": torch.zeros(3)}, "blocks has 3 entries for 500 images"),
    ):
        with pytest.raises(ValueError, match=message):
            spectra.bootstrap(latent, torch.sum, generator=generator, **arguments)


def test_cross_validation_removes_noise(generator):
    """Signal with a known spectrum, and noise far above its tail: plain PCA sees noise, cross-validation the signal."""
    true = power_law(2.0, 50)
    signal = known(true, 4000)
    first, second = (
        signal + 0.05 * torch.randn(signal.shape, generator=generator, dtype=signal.dtype) for _ in range(2)
    )
    plain, honest = eigenspectrum(moments(first)), spectra.cross_validated(first, second)
    assert fit(plain, (5, 40)).alpha < 1.2
    assert fit(honest, (5, 25), ordered=False).alpha == pytest.approx(2, abs=0.15)
    torch.testing.assert_close(spectra.cross_validated(first, first), plain)
    with pytest.raises(ValueError, match=r"shapes \(4000, 50\) and \(9, 50\)"):
        spectra.cross_validated(first, second[:9])


def test_the_authors_null_exponents(cifar10, generator):
    """To the digit that the authors print: raw pixels 1.468, a random layer 1.525 on images; 0.047 on noise."""
    of = moments(datasets.unit_lp(cifar10.test))
    assert fit(eigenspectrum(of)).alpha == pytest.approx(1.468, abs=0.005)
    random = models.init(TwoLayer(3072, 2000, 10), generator)
    assert fit(eigenspectrum(spectra.linear_moments(of, random.hidden))).alpha == pytest.approx(1.525, abs=0.015)


def test_moments_are_a_value_object(latent):
    with pytest.raises(AttributeError):
        moments(latent).count = 3
    assert isinstance(moments(latent), Moments)


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (torch.rand(1, 12), "latent has 1 rows; give at least 2"),
        (
            torch.rand(50, 12).index_fill(1, torch.tensor([4]), torch.nan),
            "latent has NaN, infinite or too large values",
        ),
        (torch.rand(50, 12) * 1e25, "latent has NaN, infinite or too large values"),
    ],
)
def test_the_published_estimator_refuses_what_its_solver_dies_of(latent, message):
    with pytest.raises(ValueError, match=message):
        spectra.published(latent.split(20), 0.0)
