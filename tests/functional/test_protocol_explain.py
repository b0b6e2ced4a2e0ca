"""Why two protocols differ, in words and as a chain of protocols."""

import dataclasses
import itertools

import pytest

from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.functional.protocol import ASPECTS, PROTOCOLS, Protocol, get_protocol
from depthprobe.functional.protocol_explain import MEANING, contrasts, differing, explain, shared_metrics
from depthprobe.schema import plan_id

PAIRS = list(itertools.combinations(PROTOCOLS.names(), 2))


def said(a, b, **options):
    return {d.aspect: d for d in explain(get_protocol(a), get_protocol(b), **options)}


def fits(a, b):
    """Output kinds that two presets both judge."""
    return [k for k in OUTPUT_KINDS if k in dict(a.alignment) and k in dict(b.alignment)]


def test_the_aspects_hold_every_field_once():
    fields = [field for own in ASPECTS.values() for field in own]
    assert sorted([*fields, "name", "seed"]) == sorted(f.name for f in dataclasses.fields(Protocol))
    assert set(MEANING) == {"data", *ASPECTS} - {"metrics"}
    for name in PROTOCOLS:
        assert list(get_protocol(name).words()) == list(ASPECTS)


def test_a_protocol_does_not_differ_from_itself_whatever_its_seed():
    for name in PROTOCOLS:
        protocol = get_protocol(name)
        assert explain(protocol, dataclasses.replace(protocol, seed=3)) == []
        for kind in fits(protocol, protocol):
            assert contrasts(protocol, dataclasses.replace(protocol, seed=3), kind) == []


def test_the_two_windows_called_gargs():
    found = said("bts_kitti", "zoe_kitti")
    assert list(found) == ["window", "resize", "flip"]
    window = found["window"]
    assert window.a.startswith("rows 153:371 of 375, cols 44:1197 of 1242")
    assert window.b.startswith("rows 166:372 of 375, cols 56:1185 of 1242")
    assert "91.7 % in common" in window.meaning
    assert "of the image" in window.a
    assert "of the window" in window.b


def test_windows_of_another_frame():
    window = said("bts_kitti", "zoe_kitti", size=(370, 1226))["window"]
    assert window.a.startswith("rows 151:366 of 370, cols 44:1181 of 1226")
    with pytest.raises(ValueError, match="Expected images of at least 352x1216"):
        said("bts_kitti", "zoe_kitti", size=(96, 128))


def test_one_name_for_two_quantities_is_told_apart():
    found = said("bts_kitti", "kitti_server")
    assert "sq_rel (m): Mean (z - g)² / g" in found["metrics"].a
    assert "sq_rel_kitti (%)" in found["metrics"].b
    assert found["metrics"].meaning == "in common: abs_rel, rmse, silog"
    assert "256" in found["range"].b


def test_other_data_come_first_and_no_common_share_is_made_up():
    found = said("bts_nyu", "kitti_server")
    assert next(iter(found)) == "data"
    assert "rows 45:471 of 480" in found["window"].a
    assert "in common" not in found["window"].meaning


def test_alignment_is_said_for_the_kinds_that_are_treated_differently():
    found = said("marigold_nyu", "midas_nyu")["alignment"]
    assert found.a == "metric_depth: scale_shift, scale_depth: scale_shift, affine_depth: scale_shift"
    assert found.b == "metric_depth: disparity, scale_depth: disparity, affine_depth: refused"
    only = said("marigold_nyu", "midas_nyu", kind="scale_depth")["alignment"]
    assert only.a == "scale_depth: scale_shift"
    assert "alignment" not in said("marigold_nyu", "midas_nyu", kind="affine_disparity")


def test_what_does_not_matter_to_a_kind_is_left_out():
    scenes = get_protocol("scenes")
    other = dataclasses.replace(scenes, floor=0.5, resize_space="disparity")
    assert differing(scenes, other) == ["resize", "floor"]
    assert differing(scenes, other, "metric_depth") == ["resize"]
    assert differing(scenes, other, "affine_disparity") == ["floor"]
    assert differing(scenes, other, "affine_depth") == []


def test_protocols_of_ones_own():
    mine = Protocol(name="mine", crop=(0, 1, 0, 0.5), frame=(1, 1))
    found = {d.aspect: d for d in explain(mine, get_protocol("bts_nyu"))}
    assert found["data"].a == "not said"
    assert found["window"].a == "rows 0:1, cols 0:0.5 of the image are judged"
    found = {d.aspect: d for d in explain(mine, get_protocol("bts_nyu"), size=(480, 640))}
    assert found["window"].a.startswith("rows 0:480 of 480, cols 0:320 of 640")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_every_pair_is_explained_field_by_field(first, second):
    a, b = get_protocol(first), get_protocol(second)
    found = said(first, second)
    fields = {f.name for f in dataclasses.fields(Protocol) if getattr(a, f.name) != getattr(b, f.name)}
    named = {field for aspect in found if aspect != "data" for field in ASPECTS[aspect]}
    assert fields - {"name", "seed"} <= named
    assert all(set(ASPECTS[aspect]) & fields for aspect in found if aspect != "data")
    assert all(d.a != d.b and d.meaning for d in found.values())


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_chain_leads_from_the_first_to_the_second(first, second):
    a, b = get_protocol(first), get_protocol(second)
    for kind in fits(a, b):
        steps = contrasts(a, b, kind)
        turn = [s for s in steps if s.how == "in turn"]
        alone = [s for s in steps if s.how == "alone"]
        whole = steps[-1]
        assert (whole.how, whole.a.name, whole.b.name) == ("together", first, second)
        assert [s.change for s in turn] == [s.change for s in alone]
        assert [s.change for s in turn] == [x for x in differing(a, b, kind) if x != "metrics"]
        assert turn[0].a == whole.a
        assert turn[-1].b == whole.b
        assert all(x.b == y.a for x, y in itertools.pairwise(turn))
        assert all(s.a == whole.a for s in alone)
        assert alone[0].b == turn[0].b
        assert {s.a.metrics for s in steps} | {s.b.metrics for s in steps} == {shared_metrics(a, b)}
        for s in steps[:-1]:
            changed = {f.name for f in dataclasses.fields(Protocol) if getattr(s.a, f.name) != getattr(s.b, f.name)}
            assert changed & set(ASPECTS[s.change])
            assert s.b == whole.b or changed - {"name"} <= set(ASPECTS[s.change])
            assert plan_id(s.a) != plan_id(s.b)
            s.b.check(kind)


def test_refusals():
    bts, midas = get_protocol("bts_nyu"), get_protocol("midas_nyu")
    for ask in (contrasts, explain):
        with pytest.raises(ValueError, match=r"protocol `bts_nyu`, but got affine_disparity.*protocols that fit"):
            ask(midas, bts, kind="affine_disparity")
    other = dataclasses.replace(bts, name="mine", metrics=("tau",))
    with pytest.raises(ValueError, match=r"two protocols with a metric in common, but got `bts_nyu`.*`mine`"):
        contrasts(bts, other, "metric_depth")
