"""Which files count as images, and that each kind of them is read."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import ImageFileError, read_images
from resnet_jax.data.image_formats import FORMATS, SUFFIXES, formats_of

Image.init()
# Suffixes that Pillow knows for kinds that it writes and does not name when it reads.
PILLOW = {
    suffix: {"MPO": "JPEG"}.get(name, name)
    for suffix, name in Image.registered_extensions().items()
}


def test_the_suffixes_are_those_of_pillow():
    """A kind that is read is found by every suffix that Pillow knows for it."""
    ours = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}
    assert ours == {suffix: name for suffix, name in PILLOW.items() if name in FORMATS}
    assert len(SUFFIXES) == len(ours)


def test_no_programs_and_no_documents():
    assert not FORMATS.keys() & {"EPS", "WMF", "PDF", "PSD", "MPEG", "FLI", "GRIB", "HDF5", "BUFR"}


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if PILLOW[s] in Image.SAVE])
def test_each_kind_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    name = PILLOW[suffix]
    mode = {".pfm": "F", ".pbm": "1", ".bw": "L"}.get(suffix, "RGB")
    image = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    image.save(path, format=name)
    (read,) = read_images([path], channels=3, side=8)
    if mode == "F":
        assert isinstance(read, ImageFileError)
        assert "no unsigned integers of 8 to 16 bits" in str(read)
    else:
        np.testing.assert_allclose(read, 255, atol=2)


def test_kinds_without_a_signature_are_read_by_their_suffix_alone(tmp_path):
    """Else bytes that are no image at all would pass for one."""
    for suffix in (".tga", ".pcx"):
        path = tmp_path / f"a{suffix}"
        Image.new("RGB", (8, 8)).save(path)
        path.rename(tmp_path / "a.png")
        (error,) = read_images([tmp_path / "a.png"], channels=3, side=8)
        assert isinstance(error, ImageFileError)
        assert set(formats_of(suffix)) - set(formats_of(".png")) == {suffix[1:].upper()}
