"""The representation probe: CKA of a layer with itself, with its image, and rows from their parts."""

import numpy as np
import pytest
import tiny
import torch
from sparse_cases import batch, network, value
from torch.nn import functional as F

from depthprobe.functional.cka import linear_cka
from depthprobe.functional.feature_spectrum import feature_log_amplitude
from depthprobe.models import load_model
from depthprobe.probes.representation import CONTROLS, RepresentationPlan, representation

SMALL = RepresentationPlan(grid=(6, 8))


def test_every_layer_is_like_itself_and_pairs_stand_once():
    model = network()
    table = representation(model, batch(2), SMALL)
    pairs = table[table["metric"] == "cka"][["sample", "layer", "factor"]]
    names = [*dict.fromkeys(pairs["layer"])]
    assert names[-2:] == list(CONTROLS) and len(names) == 2 + len(model.layers())
    assert len(pairs) == 2 * len(names) * (len(names) + 1) // 2 and not pairs.duplicated().any()
    for name in names:
        assert np.allclose(value(table, metric="cka", layer=name, factor=name), 1)


def test_rows_are_the_cka_of_the_places_of_one_image():
    model, data = network(), batch(3)
    table = representation(model, data, RepresentationPlan(layers=("first", "last"), grid=(6, 8), batch=2))
    with torch.no_grad():
        features = model.features(data.image, ["first", "last"])
    maps = {**features, "(image)": data.image}
    places = {n: F.interpolate(x, (6, 8), mode="bilinear", antialias=True).flatten(2).mT for n, x in maps.items()}
    for a, b in (("first", "last"), ("first", "(image)"), ("last", "(image)")):
        wanted = [float(linear_cka(places[a][i : i + 1], places[b][i : i + 1])) for i in range(3)]
        assert np.allclose(value(table, metric="cka", layer=a, factor=b), wanted, rtol=1e-3, atol=1e-4)
    terms = [
        value(table, metric="hsic", layer=a, factor=b).mean()
        for a, b in (("first", "last"), ("first", "first"), ("last", "last"))
    ]
    whole = terms[0] / np.sqrt(terms[1] * terms[2])
    assert whole == pytest.approx(float(linear_cka(places["first"], places["last"])), rel=1e-3)
    for name in ("first", "last"):
        wanted = feature_log_amplitude(features[name])
        for k in range(wanted.shape[1]):
            found = value(table, metric="feature_log_amplitude", layer=name, level=(k + 1) / wanted.shape[1])
            assert np.allclose(found, wanted[:, k], rtol=1e-3, atol=1e-3)


def test_a_model_of_rows_is_like_position_alone():
    table = representation(load_model("oracle:row"), batch(2), SMALL)
    assert (value(table, metric="cka", layer="out", factor="(position)") > 0.5).all()
    table = representation(load_model("oracle:brightness"), batch(2), SMALL)
    assert (value(table, metric="cka", layer="out", factor="(image)") > 0.3).all()


def test_layers_are_thinned_out_evenly():
    table = representation(tiny.model(), batch(1), RepresentationPlan(most=2, grid=(4, 4)))
    names = [n for n in dict.fromkeys(table["layer"]) if n not in CONTROLS]
    assert names == ["first", "last"]  # of first, norm, drop, last, in the order in which they run


@pytest.mark.parametrize(
    ("options", "message"),
    [({"grid": (1, 8)}, "Expected `grid`"), ({"grid": (8,)}, "Expected `grid`"), ({"most": 0}, "Expected `most`")],
)
def test_a_plan_that_makes_no_sense_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        RepresentationPlan(**options)


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="Expected layer names"):
        representation(network(), batch(1), RepresentationPlan(layers=("nowhere",)))
