"""Hostile images, depth maps, names, lists and folders: IMAGES and NAMES."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import torch
from hostile import HTML, SIZE, Case, Trap, escaped, is_finite, measure, pairs, values
from PIL import Image

from depthprobe.data import load_dataset


def image(content: Any, expect: Any = r"data/images/b\.png to be a complete, readable file", **how: Any) -> Case:
    """The second picture replaced by `content`: bytes, or a function that writes it."""
    return _spoilt(0, content, expect, how)


def depth(content: Any, expect: Any = r"data/depth/b\.\w+ to be a complete, readable file", **how: Any) -> Case:
    """The second depth map replaced by `content`."""
    return _spoilt(1, content, expect, how)


def _spoilt(which: int, content: Any, expect: Any, how: dict[str, Any]) -> Case:
    def arrange(place: Path) -> list[Any]:
        path = pairs(place)[which]
        suffix = how.get("suffix", ".png")
        if suffix != ".png":
            path.unlink()
        path = path.with_suffix(suffix)
        path.write_bytes(content) if isinstance(content, bytes) else content(path)
        return measure(place)

    return Case(arrange, expect, skipped=isinstance(expect, str))


def drawn(mode: str, **how: Any) -> Callable[[Path], None]:
    """A writer of the gradient in another colour mode."""
    return lambda path: Image.fromarray(_gradient()).convert(mode).save(path, **how)


def _gradient(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([8 * x, 8 * y, 4 * (x + y)], axis=2).astype(np.uint8)


def looks_like(expected: np.ndarray | Callable[[], np.ndarray], tolerance: float = 0.0) -> Callable[[Path, Any], None]:
    """The second picture was read as these pixels."""

    def check(place: Path, _: Any) -> None:
        found = load_dataset("folder", root=place / "data").load([1])[0].image[0].permute(1, 2, 0).numpy() * 255
        wanted = expected() if callable(expected) else expected
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= tolerance + 1e-3

    return check


def invalid_at(*pixels: tuple[int, int]) -> Callable[[Path, Any], None]:
    """Only these pixels of the second depth map are invalid, and none is judged."""

    def check(place: Path, _: Any) -> None:
        batch = load_dataset("folder", root=place / "data").load([1])[0]
        assert (~batch.valid[0, 0]).nonzero().tolist() == [list(pixel) for pixel in pixels]
        assert torch.isfinite(batch.depth).all()
        assert np.isfinite(values(place, "abs_rel")).all()

    return check


def _grey(x: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(x).convert("L"))[..., None].repeat(3, 2)


def _poisoned(path: Path) -> None:
    array = np.full(SIZE, 2.0, np.float32)
    array[0, :5] = [np.nan, np.inf, -np.inf, 0, -3]
    np.save(path, array)


def _one_pixel(place: Path) -> list[Any]:
    picture, stored = pairs(place)
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(picture)
    Image.fromarray(np.full((1, 1), 2500, np.uint16)).save(stored)
    return measure(place)


def _trap_array(path: Path) -> None:
    np.save(path, np.array([Trap(path.parent / "ran")], dtype=object), allow_pickle=True)


def _archive_of_arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, depth=np.ones(SIZE))


TOO_MANY = r"to have at most 89,478,485 pixels, but it says that it has more; make it smaller"
TURNED = _gradient((SIZE[1], SIZE[0]))
IMAGES = {
    "100 megapixels claimed": image(hostile.raw_png(10_000, 10_000, 8, 2), TOO_MANY),
    "100 megapixels whole": image(lambda p: Image.new("1", (10_000, 10_000)).save(p), TOO_MANY),
    "a million megapixels": image(hostile.raw_png(1_000_000, 1_000_000, 8, 2), TOO_MANY),
    "a depth map of 100 megapixels": depth(hostile.raw_png(10_000, 10_000, 16, 0), TOO_MANY),
    "an array of a terabyte": depth(hostile.claimed_npy((500_000, 500_000)), suffix=".npy"),
    "1x1": Case(_one_pixel, is_finite),
    "grey": image(drawn("L"), looks_like(_grey(_gradient()))),
    "grey with alpha": image(drawn("LA"), looks_like(_grey(_gradient()))),
    "alpha": image(drawn("RGBA"), looks_like(_gradient())),
    "black and white": image(drawn("1"), is_finite),
    "palette": image(drawn("P", transparency=b"\0\1"), is_finite),
    "CMYK": image(drawn("CMYK", format="JPEG", quality=100, subsampling=0), looks_like(_gradient(), 8), suffix=".jpg"),
    "16-bit colour": image(hostile.colour_of_16_bits()[0], looks_like(hostile.colour_of_16_bits()[1])),
    "16-bit grey": image(drawn("I;16"), r"to be an 8-bit picture, but its mode is I;16; convert it to 8-bit RGB"),
    "turned by EXIF, depth as shown": image(lambda p: hostile.oriented(p, TURNED, 6), looks_like(np.rot90(TURNED, -1))),
    "turned by EXIF, depth as stored": image(lambda p: hostile.oriented(p, _gradient(), 6), looks_like(_gradient())),
    "upside down by EXIF": image(
        lambda p: hostile.oriented(p, _gradient(), 3), "to say which way up its depth map is, but its EXIF orientation"
    ),
    "truncated PNG": image(lambda p: p.write_bytes(p.read_bytes()[:-500])),
    "truncated JPEG": image(
        lambda p: (drawn("RGB")(p), p.write_bytes(p.read_bytes()[:400])),
        suffix=".jpg",
        expect=r"b\.jpg to be a complete, readable file",
    ),
    "zero bytes": image(b""),
    "a page of PostScript": image(hostile.POSTSCRIPT),
    "text": image(b"<svg onload=alert(1)>" * 9),
    "NaN, infinite and negative depth": depth(_poisoned, invalid_at(*((0, x) for x in range(5))), suffix=".npy"),
    "nothing but NaN": depth(lambda p: np.save(p, np.full(SIZE, np.nan)), "at least one valid pixel", suffix=".npy"),
    "8-bit depth": depth(drawn("L"), r"one channel of 16 or 32 bits, but its mode is L"),
    "depth in colour": depth(drawn("RGB"), r"one channel of 16 or 32 bits, but its mode is RGB"),
    "depth of another size": depth(
        lambda p: Image.fromarray(np.full((9, 9), 2500, np.uint16)).save(p), r"the image is 24x32 and the depth 9x9"
    ),
    "zero bytes of depth": depth(b""),
    "pickled depth": depth(_trap_array, suffix=".npy"),
    "an archive of arrays": depth(_archive_of_arrays, "real numbers, but it holds an archive", suffix=".npy"),
    "complex depth": depth(lambda p: np.save(p, np.ones(SIZE, complex)), "but it holds complex128", suffix=".npy"),
    "an empty array": depth(lambda p: np.save(p, np.ones((0, 9))), r"but it has \(0, 9\)", suffix=".npy"),
}


# --- names, lists, folders ---


def named(name: str, expect: Any, more: tuple[str, ...] = ("--no-report",)) -> Case:
    return Case(lambda place: (pairs(place, ["a", name]), measure(place, more=more))[1], expect)


def _linked(place: Path) -> list[Any]:
    picture, _ = pairs(place)
    picture.rename(place / "elsewhere.png")
    hostile.link(picture, place / "elsewhere.png")
    return measure(place)


def _linked_within(place: Path) -> list[Any]:
    picture, _ = pairs(place)
    picture.rename(place / "data/elsewhere.png")
    hostile.link(picture, place / "data/elsewhere.png")
    return measure(place)


def _dangling(place: Path) -> list[Any]:
    args = hostile.listed(place, "images/00001.png depth/00001.png", "images/00002.png depth/00002.png")
    hostile.link(place / "data/images/00002.png", place / "gone.png")
    return args


def _bytes_in_list(place: Path) -> list[Any]:
    args = hostile.listed(place)
    (place / "data/test.txt").write_bytes(b"images/\xff.png depth/00001.png")
    return args


def archived(name: str) -> Case:
    def arrange(place: Path) -> list[Any]:
        hostile.escaping_archive(place / name)
        return measure(place, root=name)

    return Case(arrange, f"but .*{re.escape(name)} is an archive; unpack it and give its folder")


def listed(line: str, expect: str) -> Case:
    return Case(lambda place: hostile.listed(place, "images/00001.png depth/00001.png", line), expect)


def described(text: str, expect: str) -> Case:
    return Case(lambda place: hostile.described(place, text), expect)


HEAD = '{"format": "depthprobe-folder", "version": 1, "depth": {"scale": 0.001}, "samples": '
OUTSIDE = r"to name a file below .* without `\.\.`"
NAMES = {
    "a name with HTML": named(HTML, escaped(HTML), more=()),
    "a name with spaces and quotes": named("a b\"c'd", is_finite),
    "a name that is no UTF-8": named(os.fsdecode(b"caf\xe9"), r"sample ids of printable characters, but got 'caf"),
    "a name of two lines": named("a\nb", r"sample ids of printable characters, but got 'a\\nb'"),
    "a link to another folder": Case(
        _linked, r"b\.png leads to .*elsewhere\.png; set DEPTHPROBE_LINKS=1 if the links are yours, or copy it there"
    ),
    "a link within the folder": Case(_linked_within, is_finite),
    "a link to nothing": Case(_dangling, r"a file at .*00002\.png .*but there is none", skipped=True),
    "a list that climbs": listed("../secret/00002.png depth/00002.png", rf"test\.txt:2 {OUTSIDE}"),
    "a list with Windows's paths": listed("C:\\data\\00002.png depth/00002.png", rf"test\.txt:2 {OUTSIDE}"),
    "a list of endless lines": listed("a" * 100_000, r"test\.txt:2 to be a line of at most 4096 characters"),
    "a list of one column": listed("images/00002.png", r"test\.txt:2 to read `rgb depth focal`"),
    "a list that is no text": Case(_bytes_in_list, r"test\.txt to be text \(UTF-8\)"),
    "a description that climbs": described(
        HEAD + '[{"id": "a", "image": "../x.png", "depth": "depth/a.png"}]}', rf"sample 0 {OUTSIDE}"
    ),
    "a description that is no JSON": described("{", r"dataset\.json to be JSON"),
    "a description a hundred thousand deep": described("[" * 100_000, r"dataset\.json to be JSON"),
    "a description of nothing": described(HEAD + "[]}", "a list `samples` with at least one entry"),
    "a zip as root": archived("data.zip"),
    "a tar as root": archived("data.tar"),
}
