"""The data set: known bytes, disjoint splits, the same scenes whatever renders them, planes that are plane."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from depthprobe.data import load_dataset, stack
from depthprobe.data.scenes import SCENES_VERSION, SPLITS, render_scene, warm_up
from depthprobe.data.scenes.dropout import drawn_edits
from depthprobe.data.scenes.edits import SCENE_EDITS
from depthprobe.data.scenes.generate import GENERATORS, make_good_room
from depthprobe.data.scenes.identity import digest, split_seeds
from depthprobe.data.scenes.kernels import compiling
from depthprobe.data.scenes.rendering import pack
from depthprobe.data.scenes.rooms import make_room
from depthprobe.data.scenes.viewpoint import is_poor_view

SIZE = (24, 32)
# sha256 of colour, depth and ids of seeds 0, 1, 11000000 of version 1: new bytes need a new SCENES_VERSION
DIGESTS = {
    "rooms": ["6984facdb63ae3f2", "f055df81b473ffe5", "45536a1e6e8589b2"],
    "streets": ["eee8f09d49763659", "cb30becff2e18841", "64ee4d12a848411e"],
    "shapes": ["95b865d8a720ab7d", "e4a5a02fc1d2b1b2", "400727e5c2fef996"],
}


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_digest(kind):
    assert SCENES_VERSION == 1
    assert [digest(render_scene(kind, seed, SIZE)) for seed in (0, 1, 11_000_000)] == DIGESTS[kind]


def test_same_bytes_from_threads_and_from_another_process():
    seeds = range(6)
    own = [digest(render_scene("rooms", seed, SIZE)) for seed in seeds]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda seed: digest(render_scene("rooms", seed, SIZE)), seeds)) == own
    code = (
        "from depthprobe.data.scenes import render_scene; from depthprobe.data.scenes.identity import digest; "
        "print(*[digest(render_scene('rooms', seed, (24, 32))) for seed in range(6)])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == own


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_batches_are_complete_and_do_not_depend_on_batching_or_workers(kind):
    options = {"kind": kind, "n": 5, "size": SIZE}
    whole = next(iter(load_dataset("scenes", batch_size=5, workers=2, **options)))
    parts = stack(list(load_dataset("scenes", batch_size=2, workers=1, **options)))
    assert whole.sample == parts.sample == tuple(f"{kind}-{seed}" for seed in range(11_000_000, 11_000_005))
    assert whole.group == whole.sample
    for a, b in ((whole.image, parts.image), (whole.depth, parts.depth), (whole.valid, parts.valid)):
        assert torch.equal(a, b)
    assert whole.image.shape == (5, 3, *SIZE)
    assert set(whole.maps) == {"normal", "object", "class", "plane"}
    assert torch.isfinite(whole.depth).all()
    assert (whole.depth > 0).all()
    sky = ~whole.valid
    assert (whole.maps["object"][sky] == 0).all()
    assert sky.any() == (kind != "rooms")
    assert whole.maps["normal"].norm(dim=1, keepdim=True)[whole.valid].sub(1).abs().max() < 1e-6
    assert whole.intrinsics[0, 0, 2] == (SIZE[1] - 1) / 2
    assert whole.intrinsics[0, 1, 2] == (SIZE[0] - 1) / 2


def test_normals_face_the_camera():
    batch = load_dataset("scenes", n=2, size=SIZE).load([0, 1])[0]
    points = back_project(batch)
    cosine = (batch.maps["normal"] * points).sum(1) / points.norm(dim=1)
    assert cosine.max() < 1e-4


def back_project(batch):
    """Camera coordinates (B,3,H,W) of every pixel."""
    height, width = batch.depth.shape[-2:]
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)]).double().flatten(1)
    directions = torch.linalg.inv(batch.intrinsics.double()) @ pixels
    return directions.unflatten(2, (height, width)) * batch.depth.double()


def test_points_of_a_plane_lie_on_one_plane_with_the_stated_normal():
    batch = load_dataset("scenes", n=3, size=(48, 64)).load(range(3))[0]
    points, checked = back_project(batch), 0
    for i in range(3):
        plane = batch.maps["plane"][i, 0]
        for number in plane.unique().tolist():
            here = plane == number
            if number < 0 or here.sum() < 12:
                continue
            normal = batch.maps["normal"][i].double()[:, here]
            assert (normal - normal[:, :1]).abs().max() < 1e-6
            height = (normal[:, :1] * points[i][:, here]).sum(0)
            assert height.max() - height.min() < 1e-4
            checked += 1
    assert checked > 20


def test_splits_are_disjoint_and_refuse_what_they_do_not_hold():
    spans = sorted(SPLITS.values())
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert [len(split_seeds(split, 3, 5)) for split in SPLITS] == [3, 3, 3]
    assert split_seeds("val", 2, 999_998)[-1] == 10_999_999
    with pytest.raises(ValueError, match="to be at most 1,000,000"):
        load_dataset("scenes", split="test", n=2, start=999_999)
    with pytest.raises(ValueError, match="`split` to be one of"):
        load_dataset("scenes", split="training", n=2)
    with pytest.raises(ValueError, match="`kind` to be one of"):
        load_dataset("scenes", kind="caves", n=2)
    assert len(load_dataset("scenes", n=0)) == 0


def test_poor_views_are_drawn_again():
    for seed, expected in ((0, False), (132, True)):
        first = make_room(seed, SIZE)
        assert is_poor_view(pack(first), first.camera) == expected
        kept = make_good_room(seed, SIZE)
        assert (kept.primitives != first.primitives) == expected
        assert not is_poor_view(pack(kept), kept.camera)


def test_mixed_is_made_of_the_scenes_of_its_kinds():
    mixed = load_dataset("scenes", kind="mixed", n=8, size=SIZE, batch_size=8)
    assert Counter(sample.partition("-")[0] for sample in mixed.samples) == {"rooms": 4, "streets": 2, "shapes": 2}
    batch = mixed.load(range(8))[0]
    for i, sample in enumerate(mixed.samples):
        kind, _, seed = sample.partition("-")
        own = load_dataset("scenes", kind=kind, n=1, start=int(seed) - SPLITS["test"][0], size=SIZE).load([0])[0]
        assert own.sample == (sample,)
        assert torch.equal(own.image[0], batch.image[i])
        assert torch.equal(own.depth[0], batch.depth[i])


def test_cue_dropout_edits_the_share_it_names_and_leaves_depth_alone():
    drawn = [drawn_edits(seed, 0.3) for seed in range(4000)]
    edited = [edits[0] for edits in drawn if edits]
    assert abs(len(edited) / 4000 - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    cues = {name for name in SCENE_EDITS.names() if SCENE_EDITS.facts(name)["changes"] == "image"} - {"light_gain"}
    assert {name for name, _ in edited} == cues
    gone = [level == 1 for name, level in edited if SCENE_EDITS.facts(name)["unit"] == "1"]
    assert abs(sum(gone) / len(gone) - 0.5) < 4 * (0.25 / len(gone)) ** 0.5
    assert all(
        SCENE_EDITS.facts(name)["span"][0] <= level <= SCENE_EDITS.facts(name)["span"][1] for name, level in edited
    )
    assert all(drawn_edits(seed, 0.6) == edits for seed, edits in enumerate(drawn) if edits)
    assert not any(drawn_edits(seed, 0.0) for seed in range(100))
    options = {"split": "train", "n": 6, "size": SIZE, "batch_size": 6}
    plain, dropped = (load_dataset("scenes", cue_dropout=x, **options).load(range(6))[0] for x in (0.0, 0.3))
    assert torch.equal(plain.depth, dropped.depth)
    for i, sample in enumerate(plain.sample):
        expected = plain.take([i])
        for name, level in drawn[int(sample.partition("-")[2])]:
            expected = expected.edited(name, level)
        assert torch.equal(dropped.image[i], expected.image[0])
    assert any(drawn[:6])


def test_a_cue_that_is_gone_stays_gone_under_further_edits():
    seed = next(s for s in range(100) if drawn_edits(s, 0.5)[:1] == (("texture_off", 1.0),))
    one = load_dataset("scenes", split="train", start=seed, n=1, size=SIZE, cue_dropout=0.5).load([0])[0]
    plain = load_dataset("scenes", split="train", start=seed, n=1, size=SIZE).load([0])[0]
    both = plain.edited("texture_off").edited("shadow_off")
    assert torch.equal(one.edited("shadow_off").image, both.image)


def test_a_compile_is_announced_once_and_only_for_the_renderer():
    said = []
    listener = compiling._Announcer(said.append)

    def compile_of(module):
        function = SimpleNamespace(__module__=module)
        listener.on_start(SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)}))

    compile_of("somebody.elses.kernels")
    assert said == []
    compile_of("depthprobe.data.scenes.kernels.shading")
    compile_of("depthprobe.data.scenes.kernels.bvh")
    assert len(said) == 1
    assert "compiling the scene renderer" in said[0]
    warm_up()
    assert warm_up(said.append) is False
    assert len(said) == 1


def test_the_cache_moves_where_it_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert compiling.cache_folder().is_relative_to(tmp_path / "own")
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    monkeypatch.setattr(compiling.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert compiling.cache_folder().is_relative_to(tmp_path / "temporary")


@pytest.mark.slow
def test_a_cold_cache_is_announced_and_a_warm_one_is_silent(tmp_path):
    code = "from depthprobe.data.scenes import warm_up; print(warm_up())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        for _ in range(2)
    ]
    assert [run.stdout.strip() for run in runs] == ["True", "False"]
    assert ["compiling the scene renderer" in run.stderr for run in runs] == [True, False]
