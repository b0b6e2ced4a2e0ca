"""The page of an audit: the verdict says what is planted, warnings come first, nothing is left as a hole."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import report_audits as audits
from report_page import Page

from depthprobe.functional.alignment import ALIGNMENTS
from depthprobe.report import conduct, traits, verdict, write_report
from depthprobe.report.estimates import Options
from depthprobe.report.source import read_source
from depthprobe.report.topics import TOPICS

SURE, FAST = {"n_boot": 1_000}, {"n_boot": 60}


def report(out, resamples=FAST, **options):
    path = write_report(audits.write_audit(out, **options), **resamples)
    return Page(path.read_text()), json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return out, *report(out, SURE)


def line(data, start):
    return next(f["text"] for f in data["findings"] if f["lead"].startswith(start))


def trait(data, name):
    return next(row for row in data["frames"]["traits"] if row["trait"] == name)


# The verdict


def test_five_lines_in_their_order(whole):
    _, _, data = whole
    assert [f["lead"] for f in data["findings"]] == [
        "How accurate:", "How few pixels, and which:", "How continuous its gradients are:", "Texture or shape:",
        "How far it looks:",
    ]  # fmt: skip


def test_every_line_has_number_interval_and_percentile(whole):
    _, _, data = whole
    for found in data["findings"]:
        assert re.search(r"\d \[\S*\d.*?\]", found["text"]), found
        assert re.search(r"percentile \d+ \[\d+, \d+\]", found["text"]), found


def test_numbers_are_those_of_the_table(whole):
    _, page, data = whole
    table = audits.make_audit()
    rows = table[(table["model"] == audits.SUBJECT) & (table["probe"] == "error") & (table["metric"] == "abs_rel")]
    want = rows["value"].mean()
    got = trait(data, "accuracy")
    assert got["estimate"] == pytest.approx(want, rel=1e-9)
    assert f"abs_rel {want:.3f} [{got['low']:.3f}, {got['high']:.3f}]" in line(data, "How accurate")
    assert f"{want:.3f} [" in page.text


BY_DISPARITY = dict.fromkeys(("metric_depth", "scale_depth", "affine_disparity"), "disparity")
DISPARITY = "after a fit of the scale and shift of its disparity to every image, its depth is off by"


@pytest.mark.parametrize(
    ("output", "fits", "said"),
    [
        ("affine_disparity", audits.FITS, DISPARITY),
        ("metric_depth", audits.FITS, "its depth is off by"),
        ("metric_depth", BY_DISPARITY, DISPARITY),
        ("scale_depth", BY_DISPARITY, DISPARITY),
        ("metric_depth", {"metric_depth": "scale_shift"}, "after a fit of its scale and shift to every image, its"),
        ("metric_depth", {"metric_depth": "median"}, "after a fit of its scale to every image, its depth"),
    ],
)
def test_what_was_fitted_to_the_truth_is_said_before_the_error(tmp_path, output, fits, said):
    """By what the protocol fits, not by what the network leaves open."""
    table = audits.make_audit(6, sparse=False)
    table = table[(table["probe"] == "error") & (table["metric"] == "abs_rel")]
    _, data = report(tmp_path, table=table, output=output, fits=fits, maps=0)
    assert line(data, "How accurate").startswith(said)


def test_every_alignment_has_its_words_and_its_freedom():
    assert set(verdict.FITTED) == set(conduct.FREEDOM) == set(ALIGNMENTS)
    counts = {1: verdict.SCALED, 0: ""}
    for name, free in conduct.FREEDOM.items():
        assert verdict.FITTED[name] == counts.get(free, verdict.FITTED[name])


def test_percentiles_count_the_references_that_are_beaten(whole):
    _, _, data = whole
    assert "more accurate than 4 of 4 references, percentile 100 [100, 100]" in line(data, "How accurate")
    assert "percentile 0 [0, 0]" in line(data, "How continuous").split("at depth edges")[1]
    surfaces = trait(data, "continuity of surfaces")
    assert surfaces["percentile_low"] == 50, "clearly better than the Transformers, no more"


def test_texture_or_shape(whole):
    said = line(whole[2], "Texture or shape")
    assert re.search(r"other textures on the same shapes move its answer by 0\.(29|30)", said)
    assert "Broken shapes move it more than other textures (difference 0.2" in said


def test_on_photographs_no_textures_are_exchanged_and_none_are_spoken_of(tmp_path):
    """Nothing is rendered with other textures there: the edit that smooths is called by its own name."""
    table = audits.make_audit(12)
    table["factor"] = table["factor"].replace("texture_swap", "low_pass")
    page, data = report(tmp_path, table=table)
    said = line(data, "Texture or shape")
    assert said.startswith("fine detail smoothed away moves its answer by 0.3")
    assert "Broken shapes move it more than smoothing (difference 0." in said
    assert "other textures" not in said
    assert "Answer moved by other textures" not in page.text


def test_how_far_it_looks(whole):
    said = line(whole[2], "How far")
    assert re.search(r"lies within (39|40)\.\d \[.*\] px of it, farther-looking than 2 of 4 references", said)
    assert "percentile 50 [50, 50]" in said


def test_facts_have_no_interval_and_conduct_no_rank(whole):
    _, page, _ = whole
    assert "Parameters 4.20 M, smaller than 0 of 4 references, percentile 0 [0, 0]" in page.text
    assert re.search(r"per image, alone in its batch 12\.0 \[.*?\] ms, faster than 2 of 4 references", page.text)
    assert re.search(r"Scale: median prediction over median truth 1\.02 \[[^]]*\]; spread", page.text)


def test_pixels_that_matter_are_named(whole):
    said = line(whole[2], "How few pixels")
    assert re.search(
        r"90 % of what the full image gains over 1 % of the pixels comes from \d", said.replace("\xa0", " ")
    )
    assert "Clearly better than random pixels: texture (of 2 orders tried, under 2 fills)" in said


def test_which_family_it_is_nearer_to(whole):
    _, page, data = whole
    side = {row["trait"]: row["side"] for row in data["frames"]["traits"]}
    assert side["continuity of surfaces"] == "CNNs"
    assert side["reliance on texture"] == side["need for context"] == "Transformers"
    assert side["how far it looks"] == side["reliance on arrangement"] == "undecided"
    assert "With a single network" not in page.text


@pytest.mark.parametrize("left", [("zoo:convnext",), ("zoo:swin",), ("zoo:efficientnet", "zoo:pvt")])
def test_beside_a_single_network_of_a_family_nothing_is_decided(tmp_path, left):
    table = audits.make_audit(10, sparse=False)
    table = table[table["probe"].isin(["error", "texture"]) & ~table["model"].isin(left)]
    page, data = report(tmp_path, table=table, maps=0)
    assert trait(data, "reliance on texture")["side"] == "one has but one"
    assert "With a single network of a family nothing is decided: that one alone would." in page.text


def test_a_trait_that_a_family_does_not_have_is_not_counted_as_undecided(tmp_path):
    """CNNs have no attention to measure."""
    table = audits.make_audit(10, sparse=False)
    table = table[table["probe"].isin(["error", "receptive_field"])]
    table = table[~((table["probe"] == "receptive_field") & (table["family"] == "cnn"))]
    page, data = report(tmp_path, table=table, maps=0)
    assert trait(data, "how far it looks")["side"] == "one has none"
    assert "of 1 trait it is" in page.text


def test_the_json_says_what_it_is_and_whose(whole):
    _, _, data = whole
    assert (data["format"], data["format_version"]) == ("depthprobe-report", 1)
    assert data["audit"]["subject"] == audits.SUBJECT
    assert data["audit"]["references"] == audits.REFERENCES
    assert {"quick", "training"} <= set(data["audit"])


def test_it_is_said_that_few_networks_are_no_family(whole):
    _, page, _ = whole
    assert "beside 2 CNNs and 2 Transformers. This is about these networks, not about their families." in page.text


def test_what_is_undecided_is_said_beside_the_place(tmp_path):
    table = audits.make_audit(10, sparse=False, error=0.02)  # nearly as the best of them
    _, data = report(tmp_path, SURE, table=table[table["probe"] == "error"], maps=0)
    said, row = line(data, "How accurate"), trait(data, "accuracy")
    assert row["undecided"] > 0
    assert f"of 4 references ({row['undecided']} undecided), percentile" in said


def test_a_place_is_given_over_the_samples_that_both_have(tmp_path):
    """Hard images that the subject could not be judged on must not make it the best."""
    table = audits.make_audit(24, sparse=False)
    table = table[table["probe"] == "error"].reset_index(drop=True)
    mine, hard = table["model"] == audits.SUBJECT, table["sample"].isin(sorted(table["sample"].unique())[:5])
    table["value"] = np.where(hard, table["value"] + 5, table["value"])  # for all
    table["value"] = np.where(mine & ~hard, table["value"] + 1, table["value"])  # the worst where it was judged
    table.loc[mine & hard, "value"] = np.nan
    _, data = report(tmp_path, SURE, table=table, maps=0)
    assert "more accurate than 0 of 4 references, percentile 0 [0, 0]" in line(data, "How accurate")


# Warnings


def test_a_well_behaved_network_is_not_accused(whole):
    said = " ".join(whole[2]["warnings"])
    for word in (
        "suspected",
        "Scale off",
        "deterministic",
        "batch",
        "zero or negative",
        "constant",
        "Training on these",
    ):
        assert word not in said, word


FAULTS = {
    "kind": ({("kind_error", "metric_depth"): 0.9, ("kind_error", "scale_depth"): 0.8,
              ("kind_error", "affine_depth"): 0.4, ("kind_error", "affine_disparity"): 0.05},
             "Wrong output kind suspected: it is declared as metric depth, and so read its error (AbsRel) is 0.9"),
    "least freedom": ({("kind_error", "metric_depth"): 0.9, ("kind_error", "scale_depth"): 0.105,
                       ("kind_error", "affine_depth"): 0.1}, "read as scale depth it is only 0.1"),
    "scale": ({("scale", ""): 0.5}, "Scale off: at the median its depth is 0.5"),
    "nan": ({("nan_share", ""): 0.25}, "of its output values are no numbers"),
    "sign": ({("nonpositive_share", ""): 0.1}, "are zero or negative, which no depth is"),
    "range": ({("out_of_range_share", ""): 0.3}, "lie outside the protocol's"),
    "constant": ({("spread", ""): 1e-7}, "a constant output"),
    "chance": ({("repeat_difference", ""): 0.02}, "It is not deterministic"),
    "batch": ({("batch_difference", ""): 0.02}, "depends on what else is in the batch"),
    "train": ({("train_difference", ""): 0.2}, "batch normalisation or dropout. That is usual"),
}  # fmt: skip


@pytest.mark.parametrize(("conduct", "said"), FAULTS.values(), ids=FAULTS)
def test_faults_are_warned_of_first(tmp_path, conduct, said):
    table = audits.make_audit(10, conduct=conduct, sparse=False)
    _, data = report(tmp_path, SURE, table=table[table["probe"].isin(["error", "conduct"])], maps=0)
    assert said in data["warnings"][0]


def test_training_on_the_test_images_is_a_suspicion_with_its_number(tmp_path):
    table = audits.make_audit(10, sparse=False, error=-0.1)
    _, data = report(tmp_path, SURE, table=table[table["probe"] == "error"], maps=0)
    (said,) = [w for w in data["warnings"] if w.startswith("Training on these images is a possibility")]
    assert "the numbers here cannot tell" in said


def test_haste_is_said(tmp_path):
    table = audits.make_audit(6, sparse=False)
    _, data = report(tmp_path, table=table, quick=True, maps=0)
    assert any(w.startswith("This is a quick audit") for w in data["warnings"])


# Whole, safe, without holes


ORDER = ["accuracy", "sparse", *(name.replace("_", "-") for name in TOPICS), "against", "provenance"]


def test_sections_stand_in_one_order(whole):
    ids = [a["id"] for a in whole[1].all("section") if a.get("id") in ORDER]
    assert ids == ORDER


def test_what_is_missing_is_said(tmp_path):
    table = audits.make_audit(6, sparse=False)
    page, data = report(tmp_path, table=table[table["probe"] == "error"], maps=0)
    assert [a["id"] for a in page.all("section") if a.get("id") in ORDER] == ORDER
    for probe in TOPICS:
        assert f"the table has no `{probe}` rows; start the audit again" in page.text
    assert "there is no picture" in page.text
    assert line(data, "How far").startswith("not measured")
    assert page.wrong == []


def test_what_it_could_not_be_asked_is_said_with_the_reason(tmp_path):
    table = audits.make_audit(6, sparse=False)
    table = table[(table["probe"] != "receptive_field") | (table["model"] != audits.SUBJECT)]
    audits.write_audit(tmp_path, table[table["probe"].isin(["error", "receptive_field"])], maps=0)
    side = json.loads((tmp_path / "table.json").read_text())
    side["refused"] = [{"probe": "receptive_field", "model": audits.SUBJECT, "reason": "ONNX has no gradients."}]
    (tmp_path / "table.json").write_text(json.dumps(side))
    page = Page(write_report(tmp_path, **FAST).read_text())
    data = json.loads((tmp_path / "report.json").read_text())
    assert "It could not be asked by `receptive_field`: ONNX has no gradients." in data["warnings"]
    assert line(data, "How far") == "not measured: ONNX has no gradients."
    assert "Not measured of py:mine:net: ONNX has no gradients." in page.text


@pytest.mark.parametrize("probe", ["sparse", "continuity", "texture", "receptive_field", "context", "conduct", "cost"])
def test_one_probe_that_failed_for_the_subject_alone_costs_no_page(tmp_path, probe):
    table = audits.make_audit(6)
    audits.write_audit(tmp_path, table[(table["probe"] != probe) | (table["model"] != audits.SUBJECT)], maps=0)
    side = json.loads((tmp_path / "table.json").read_text())
    side["refused"] = [{"probe": probe, "model": audits.SUBJECT, "tag": "planted", "reason": "Its memory ran out."}]
    (tmp_path / "table.json").write_text(json.dumps(side))
    page = Page(write_report(tmp_path, **FAST).read_text())
    data = json.loads((tmp_path / "report.json").read_text())
    assert f"It could not be asked by `{probe}`: Its memory ran out." in data["warnings"]
    assert page.wrong == []


def test_without_references(tmp_path):
    table = audits.make_audit(6)
    page, data = report(tmp_path, table=table[table["model"] == audits.SUBJECT])
    assert "No reference was measured beside it" in page.text
    assert "percentile" not in line(data, "How continuous")
    assert page.wrong == []


def test_a_section_in_which_nothing_is_defined_says_so(tmp_path):
    table = audits.make_audit(6)
    table.loc[table["probe"] == "continuity", "value"] = np.nan
    page, _ = report(tmp_path, table=table)
    assert page.text.count("None of the leading numbers of this section is defined") == 1
    assert page.wrong == []


@pytest.mark.parametrize("everyone", [False, True])
def test_a_network_of_which_nothing_is_defined(tmp_path, everyone):
    table = audits.make_audit(6)
    table.loc[everyone | (table["model"] == audits.SUBJECT), "value"] = np.nan
    page, data = report(tmp_path, table=table)
    assert "No trait of it has a value" in page.text
    assert "undefined" in line(data, "How accurate")
    assert "--probe" not in page.text
    assert page.wrong == []


def test_one_family_of_references_cannot_be_leaned_to(tmp_path):
    table = audits.make_audit(6, sparse=False)
    page, _ = report(tmp_path, table=table[table["family"].isin(["hybrid", "cnn"])], maps=0)
    assert "The references are not of two families" in page.text


def test_the_head_declares(whole):
    text = whole[1].text
    for said in ("Audit of py:mine:net on scenes", "metric depth", "4,200,000", "scenes (0e0e0e0e)", "24 in 12"):
        assert said in text or said == "24 in 12", said
    assert "scenes: 24 samples in 12 groups" in text
    assert "depthprobe audit py:mine:net --against zoo" in text


def test_a_training_is_in_the_head_in_short_and_whole_in_the_provenance(tmp_path):
    training = {"recipe": {"steps": 300, "lr": 0.001, "crop": "<short>"}, "seconds": 61.5, "scores": {"abs_rel": 0.2}}
    table = audits.make_audit(6, sparse=False)
    page, _ = report(tmp_path, table=table, training=training, maps=0)
    assert "in 61.5 s, steps 300, lr 0.001, then abs_rel 0.200 in validation" in page.text
    assert "training.recipe.crop" in page.text
    assert page.text.count("<short>") == 1


def test_names_cannot_inject(tmp_path):
    evil = 'py:"><script>alert(1)</script><img src=x onerror=alert(2)>'
    page, _ = report(tmp_path, table=audits.make_audit(6, subject=evil), subject=evil)
    source = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in source
    assert "<img src=x" not in source
    assert evil in page.text
    assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
    assert page.wrong == []


def test_it_is_well_formed_small_and_the_same_twice(whole):
    out, page, _ = whole
    first = (out / "report.html").read_bytes()
    assert (page.wrong, page.open) == ([], [])
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert len(first) < 10_000_000
    write_report(out, **SURE)
    assert (out / "report.html").read_bytes() == first


def test_it_can_be_read_aloud(whole):
    _, page, _ = whole
    assert all(a.get("aria-hidden") or (a.get("role") == "img" and a.get("aria-label")) for a in page.all("svg"))
    assert all("alt" in a for a in page.all("img"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-4]", tag)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert len([a for _, a in page.tags if "data-tip" in a]) > 100


def pictures(page):
    return [a["alt"] for a in page.all("img") if a["alt"].endswith(f"of sample rooms-11000000, {audits.SUBJECT}")]


def test_one_picture_shows_the_smallest_set_that_suffices(tmp_path):
    table = audits.make_audit(6)
    table = table[table["probe"].isin(["error", "sparse", "receptive_field"])].reset_index(drop=True)
    curve = (table["probe"] == "sparse") & (table["metric"] == "abs_rel")
    table.loc[curve, "value"] = np.where(table.loc[curve, "level"] >= 0.2, 0.2, 0.6)
    page, _ = report(tmp_path, table=table, maps=1)
    said = [alt.partition(" of sample")[0].replace("\xa0", " ") for alt in pictures(page)]
    assert said[:4] == ["image", "prediction", "truth", "signed error"]
    assert re.fullmatch(r"20 % of the pixels, (random|texture|image edges)", said[4])
    assert re.fullmatch(r"receptive field, radius (39|40|41)\.\d px of 24 rows", said[5])


def test_a_set_that_does_not_suffice_is_no_hole(whole):
    """The planted curve has gone 85 % of the way at half of the pixels."""
    _, page, _ = whole
    assert "no stored set suffices" in page.text
    assert any(alt.startswith("receptive field") for alt in pictures(page))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "to be a JSON object"), ('{"subject": "x"}', "with `subject` and `references`"), 
        ("[]", "to be a JSON object"),
        ('{"subject": "other", "references": []}', "to be one of"),
    ],
)  # fmt: skip
def test_a_broken_description_is_one_sentence(tmp_path, text, said):
    audits.write_audit(tmp_path, audits.make_audit(4, sparse=False), maps=0)
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(ValueError, match=r"audit\.json") as error:
        write_report(tmp_path, **FAST)
    assert said in str(error.value)


# Leading numbers


def test_every_lead_finds_its_rows(whole):
    """A level that was not measured gives way to the nearest, a factor to the next of its list."""
    source = read_source(whole[0])
    lead = next(lead for lead in TOPICS["context"].leads if lead.key == "window")
    rows = traits.rows(source, "context", lead)
    assert len(rows) == 24 * 5
    assert rows[rows["model"] == audits.SUBJECT]["value"].mean() == pytest.approx(0.4, rel=0.05)


def test_a_value_that_is_undefined_within_a_sample_counts_as_undefined(tmp_path):
    table = audits.make_audit(6, sparse=False)
    extra = table[(table["metric"] == "abs_rel@self") & (table["factor"] == "texture_swap")].assign(level=2.0)
    extra.loc[(extra["sample"] == extra["sample"].iloc[0]) & (extra["model"] == audits.SUBJECT), "value"] = np.nan
    source = read_source(audits.write_audit(tmp_path, pd.concat([table, extra]), maps=0))
    (found,) = traits.estimate(source, "texture", TOPICS["texture"].leads[:1], Options(n_boot=60))
    means = found.means.set_index("model")
    assert means["undefined"].to_dict() == {m: int(m == audits.SUBJECT) for m in audits.FAMILIES}
