"""What the README shows of `folder` works as printed, on miniature files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthprobe.data import load_dataset
from depthprobe.study import open_dataset, read_study

README = Path(__file__).parents[2] / "README.md"
H, W = 6, 8


def snippet(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return text


def write_pair(image, depth):
    for path in (image, depth):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((H, W, 3), 90, np.uint8)).save(image)
    stored = np.full((H, W), 2500, np.uint16)
    stored[0, 0] = 65535
    Image.fromarray(stored).save(depth)


def test_the_description(tmp_path):
    write_pair(tmp_path / "images/a.png", tmp_path / "depth/a.png")
    (tmp_path / "dataset.json").write_text(snippet("json"))
    batch = next(iter(load_dataset("folder", root=tmp_path)))
    assert json.loads(snippet("json"))["samples"][0]["group"] == batch.group[0]
    assert batch.depth[0, 0, 1, 1].item() == pytest.approx(2.5)


def test_the_study_of_two_patterns(tmp_path):
    for scene, number in (("hall", "01"), ("hall", "02"), ("loft", "01")):
        write_pair(tmp_path / scene / f"rgb_{number}.jpg", tmp_path / scene / f"depth_{number}.png")
    (tmp_path / "study.toml").write_text(snippet("toml").replace('"DIR"', json.dumps(str(tmp_path))))
    dataset = open_dataset(read_study(tmp_path / "study.toml"))
    assert dataset.samples == ["hall-01", "hall-02", "loft-01"]
    assert dataset.groups == ["hall", "hall", "loft"]
    batch = next(iter(dataset))
    assert (~batch.valid).flatten(1).sum(1).tolist() == [1, 1, 1]
    assert batch.intrinsics[2].tolist() == [[525, 0, 319.5], [0, 525, 239.5], [0, 0, 1]]
