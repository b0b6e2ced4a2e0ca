"""Formats of stored pictures: which are read, whatever the file's name ends in, and what is said of others."""

import io

import numpy as np
import pytest
from PIL import Image

from depthprobe.data import SampleError
from depthprobe.data.hub_values import image_of
from depthprobe.data.images import read_rgb, read_stored

PIXELS = np.random.default_rng(0).integers(0, 4, (6, 8, 3), dtype=np.uint8) * 85


def encoded(format, pixels=PIXELS, **how):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **how)
    return stream.getvalue()


WITHOUT_LOSS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "PPM": {}, "GIF": {}, "JPEG2000": {}}


@pytest.mark.parametrize("format", WITHOUT_LOSS)
def test_a_picture_is_read_by_its_content(tmp_path, format):
    content = encoded(format, **WITHOUT_LOSS[format])
    (tmp_path / "a.png").write_bytes(content)
    assert (read_rgb(tmp_path / "a.png") == PIXELS).all()
    assert (image_of({"bytes": content, "path": None}, "row 1", (6, 8)) == PIXELS).all()


def test_of_an_animation_the_first_picture_counts(tmp_path):
    later = [Image.fromarray(255 - PIXELS)]
    (tmp_path / "a.png").write_bytes(encoded("GIF", save_all=True, append_images=later))
    assert (read_rgb(tmp_path / "a.png") == PIXELS).all()


@pytest.mark.parametrize("format", ["TGA", "ICO", "DIB", "EPS"])
def test_of_another_format_the_known_ones_are_named(tmp_path, format):
    content = encoded(format)
    (tmp_path / "a.jpg").write_bytes(content)
    sentence = r"it is none of PNG, JPEG, .*JPEG2000; convert it"
    for read in (read_rgb, read_stored):
        with pytest.raises(SampleError, match=rf"a\.jpg .*{sentence}") as caught:
            read(tmp_path / "a.jpg")
        assert "truncated" not in str(caught.value)
    with pytest.raises(SampleError, match=rf"row 1 .*{sentence}"):
        image_of(content, "row 1", (6, 8))


@pytest.mark.parametrize("format", WITHOUT_LOSS)
def test_a_picture_that_is_cut_off_is_no_picture(tmp_path, format):
    content = encoded(format, np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(SampleError, match="to be a complete, readable file"):
        read_rgb(tmp_path / "a.png")
