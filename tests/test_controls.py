import dataclasses

import pytest
import torch

from bioadv.measure import alignment, powerlaw, spectra
from bioadv.network import controls
from bioadv.network.hidden import Given
from bioadv.network.local_learning import metric

PIXELS, UNITS, ALPHA = 60, 50, 1.4


@pytest.fixture
def given(generator):
    """Images with a power-law covariance about a mean, and a KH layer of rows of different lengths."""
    scales = torch.arange(1, PIXELS + 1).float().pow(-ALPHA / 2)
    turn = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=generator))[0]
    images = torch.randn(5000, PIXELS, generator=generator) * scales @ turn.T + 2
    layer = torch.randn(UNITS, PIXELS, generator=generator) * torch.linspace(0.5, 2, UNITS)[:, None]
    return Given(images, torch.randn(UNITS, PIXELS, generator=generator), torch.Generator().manual_seed(5), 3.0, layer)


def aligned(rows, given):
    return alignment.align(rows, spectra.moments(given.images))


KINDS = ["exemplars", "gaussian", "gaussian_centred", "kmeans", "pca", "white"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_as_long_as_those_of_the_layer_and_drawn_from_the_stream(given, kind):
    rows = getattr(controls, kind)(given)
    assert rows.shape == given.start.shape
    lengths = metric(given.layer, 3.0).norm(dim=1)
    torch.testing.assert_close(rows.norm(dim=1), lengths)
    given.generator.manual_seed(5)
    assert torch.equal(getattr(controls, kind)(given), rows)
    assert not torch.equal(getattr(controls, kind)(given), rows)


def test_exemplars_are_images(given):
    rows = controls.exemplars(given)
    cosine = torch.nn.functional.normalize(rows) @ torch.nn.functional.normalize(given.images).T
    torch.testing.assert_close(cosine.amax(1), torch.ones(UNITS))
    few = Given(given.images[:UNITS], given.start, given.generator, 3.0, given.layer)  # each must be drawn just once
    cosine = torch.nn.functional.normalize(controls.exemplars(few)) @ torch.nn.functional.normalize(few.images).T
    assert len(cosine.argmax(1).unique()) == UNITS


def test_labels_are_not_looked_at_and_images_in_another_order_are_as_good(given):
    """What a control is given holds no labels; and its rows depend on the set of images, not on how it is sorted."""
    assert not any("label" in field.name for field in dataclasses.fields(Given))
    for kind in ("pca", "white"):
        given.generator.manual_seed(5)
        rows = getattr(controls, kind)(given)
        turned = dataclasses.replace(given, images=given.images.flip(0))
        given.generator.manual_seed(5)
        torch.testing.assert_close(getattr(controls, kind)(turned).abs(), rows.abs(), atol=1e-3, rtol=1e-2)


def test_gaussian_rows_have_twice_the_exponent_on_images_and_white_ones_once(given):
    many = Given(given.images, torch.zeros(2000, PIXELS), given.generator, 3.0, torch.ones(2000, PIXELS))
    # Rows with a mean are shortened along it when they are brought to one length, which bends their spectrum a little.
    for kind, expected, tolerance in (("gaussian_centred", 2, 0.15), ("gaussian", 2, 0.3), ("white", 1, 0.15)):
        found = aligned(getattr(controls, kind)(many), given)
        alpha = powerlaw.fit(found.latent.numpy(), (5, 40)).alpha
        assert alpha == pytest.approx(expected * ALPHA, abs=tolerance), kind
    mean = controls.gaussian(many).mean(0)
    assert mean.norm() > 10 * controls.gaussian_centred(many).mean(0).norm()


def test_principal_components_are_aligned_and_flat(given):
    same = Given(given.images, given.start, given.generator, 3.0, torch.ones(UNITS, PIXELS))
    found = aligned(controls.pca(same), given)
    assert found.weights.max() < 1.5 * found.weights.min()
    assert powerlaw.fit(found.latent.numpy(), (5, 40)).alpha == pytest.approx(ALPHA, abs=0.15)


def test_few_principal_components_are_the_leading_ones(given):
    few = Given(given.images, given.start[:10], given.generator, 3.0, given.layer[:10])
    centred = (given.images - given.images.mean(0)).double()
    leading = torch.linalg.svd(centred, full_matrices=False).Vh[:10]
    rows = controls.pca(few).double()
    torch.testing.assert_close(rows @ leading.T @ leading, rows, atol=1e-4, rtol=1e-3)


def test_cluster_centres_are_smoother_than_images(given):
    centres, images = (aligned(getattr(controls, kind)(given), given) for kind in ("kmeans", "exemplars"))
    slopes = [powerlaw.fit(found.weights.numpy(), (3, 30)).alpha for found in (centres, images)]
    assert slopes[0] > slopes[1]


def test_more_units_than_images_are_refused_by_name(given):
    few = Given(given.images[:49], given.start, given.generator, 3.0, given.layer)
    with pytest.raises(ValueError, match="50 units need as many training images, there are 49"):
        controls.exemplars(few)
