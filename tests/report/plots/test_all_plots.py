import io

import numpy as np
import pytest
import report_content as made
from PIL import Image

from kdistill.report.plots import all_plots


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png)))


@pytest.mark.parametrize("shape", [(8, 8), (8, 12, 3)])
def test_a_small_image_is_kept_pixel_for_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture = all_plots.picture(image, 84)
    np.testing.assert_array_equal(pixels(picture), image)
    assert (picture.width, picture.height) == ((84, 84) if shape == (8, 8) else (84, 56))


def test_enlarged_each_pixel_is_a_square():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    shown = pixels(all_plots.picture(image, 16, enlarge=True))
    np.testing.assert_array_equal(shown, image.repeat(2, 0).repeat(2, 1))


def test_a_large_image_is_made_small():
    picture = all_plots.picture(np.zeros((3000, 1500, 3), np.uint8), 84)
    assert pixels(picture).shape == (168, 84, 3)
    assert (picture.width, picture.height) == (42, 84)


def test_every_plot_of_a_page_has_a_name_of_its_own():
    names = [plot.name for plots in all_plots.draw(made.report()).values() for plot in plots]
    assert len(names) == len(set(names)) == 17


def test_what_is_missing_has_no_plot():
    assert not any(all_plots.draw(made.nothing()).values())
