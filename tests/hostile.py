"""What the hostile table is made of: pairs to spoil, files that lie about themselves, networks that misbehave."""

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from depthprobe.cli import app
from depthprobe.schema import read_table

SIZE = (24, 32)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n"
HTML = "<b onclick=alert(1)>&amp;'"


class Case(NamedTuple):
    """`arrange` writes what is hostile and returns the command; `expect` is its sentence, or a check of the result.

    `skipped`: one sample is at fault, so that with `--on-error skip` the run goes on without it.
    """

    arrange: Callable[[Path], list[Any]]
    expect: str | Callable[[Path, Any], None]
    skipped: bool = False


def command(*args):
    """The command line in this process."""
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200", "DEPTHPROBE_DEBUG": ""})


def measure(place, model="oracle:row", probe="error", data=("-d", "folder"), root="data", more=("--no-report",)):
    """The arguments that measure a network on the pairs in `place/data`."""
    data = (*data, "--root", place / root)
    return ["run", "-m", model, "-p", probe, *data, "--device", "cpu", "--maps", 1, "--out", place / "out", *more]


def pairs(place, names="ab"):
    """Pictures of noise and depth maps from 2 to 4 m, as `folder` reads them."""
    rng = np.random.default_rng(0)
    stored = np.linspace(2000, 4000, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    for kind in ("images", "depth"):
        (place / "data" / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"data/images/{name}.png")
        Image.fromarray(stored).save(place / f"data/depth/{name}.png")
    return place / "data/images/b.png", place / "data/depth/b.png"


def listed(place, *lines):
    """The same pairs as a list of NYU's layout names them."""
    pairs(place, ("00001", "00002"))
    (place / "data/test.txt").write_text("\n".join(lines) + "\n")
    return measure(place, data=("-d", "nyu"), more=("--no-report", "--protocol", "scenes"))


def described(place, text):
    """The pairs with a `dataset.json`."""
    pairs(place)
    (place / "data/dataset.json").write_text(text)
    return measure(place)


def raw_png(width, height, depth, colour, lines=b""):
    """A PNG of any size and kind, by hand."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def colour_of_16_bits():
    """A PNG of 16-bit colour, and its upper 8 bits (H,W,3)."""
    numbers = np.random.default_rng(1).integers(0, 1 << 16, (*SIZE, 3)).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in numbers)
    return raw_png(SIZE[1], SIZE[0], 16, 2, lines), (numbers >> 8).astype(np.uint8)


def claimed_npy(shape):
    """The header of a .npy file of that shape, and hardly anything behind it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 64


def oriented(path, pixels, orientation):
    """A picture that says by EXIF how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def escaping_archive(path):
    """An archive with a member that would be unpacked outside."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../escaped.txt", "x")
    else:
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo("../../escaped.txt"), io.BytesIO())


class Trap:
    """Unpickling this writes a file that no reader may let appear."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (exec, (f"open({self.marker!r}, 'w').close()",))


def network(place, body, *, name="net.py", options="", probe="error"):
    """A network of one's own whose forward is `body`, on the pairs."""
    pairs(place)
    code = f"import torch\nfrom torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n        {body}\n"
    (place / name).write_text(code)
    return measure(place, model=f"py:{place / name}:N{options}", probe=probe)


def safetensors(header, content=b""):
    """A safetensors file by hand: length of the header, header, content."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def weights(place, content, *, name="w.safetensors", model="?model=timm:test_convnext"):
    """A file of weights, on the pairs."""
    pairs(place)
    (place / name).write_bytes(content)
    return measure(place, model=f"ckpt:{place / name}{model}")


def study(place, text):
    """A study to run."""
    pairs(place)
    (place / "study.toml").write_text(text)
    return ["run", place / "study.toml", "--no-report", "--device", "cpu", "--out", place / "out"]


def finished(place, *, model="oracle:row", more=("--no-report",)):
    """The folder of a run of two pairs."""
    pairs(place)
    result = command(*measure(place, model=model, more=more))
    assert result.exit_code == 0, result.output + result.stderr
    return place / "out"


def values(place, metric):
    """The numbers of one metric by sample."""
    table = read_table(place / "out")
    return table[table["metric"] == metric].sort_values("sample")["value"].tolist()


def link(path, target):
    """`path` as a link to `target`."""
    path.unlink(missing_ok=True)
    os.symlink(target, path)


def is_finite(place: Path, _: Any) -> None:
    """Both samples were measured."""
    assert np.isfinite(values(place, "abs_rel")).all()
    assert len(values(place, "abs_rel")) == 2


def escaped(*texts: str) -> Callable[[Path, Any], None]:
    """The page shows these texts as text."""

    def check(place: Path, _: Any) -> None:
        page = (place / "out/report.html").read_text(encoding="utf-8")
        for text in texts:
            assert text not in page
            assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split("'")[0] in page

    return check
