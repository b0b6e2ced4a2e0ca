"""One sample looked at closely: depth, gradient, curvature and error of the truth and of every network."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthprobe.data import Batch, Dataset
from depthprobe.functional import neighbours as near
from depthprobe.functional.metrics import METRICS, Terms, Truth
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.functional.spectrum import log_power, ring_centres
from depthprobe.models import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.reading import as_read

RINGS, ZOOM = 24, 4
MATCHED = (96, 128)  # what the networks of the zoo read and, enlarged, give
METRIC = "grad_mae_smooth"  # the number under a prediction


def protocol_of(name: str) -> Protocol:
    """How a data set's structure is judged: NYU by `bts_nyu`, at the networks' own resolution."""
    if name != "nyu":
        return get_protocol("scenes")
    whole = get_protocol("bts_nyu")
    shares = [own / full for own, full in zip(MATCHED, whole.frame or MATCHED, strict=True)]
    crop = tuple(round(side * shares[i // 2]) for i, side in enumerate(whole.crop or ()))
    return dataclasses.replace(whole, name=f"bts_nyu at {MATCHED[0]}x{MATCHED[1]}", crop=crop, frame=MATCHED)


def matched_to(dataset: Dataset, size: tuple[int, int]) -> Dataset:
    """The data set at another resolution: images antialiased, depth that of the nearest pixel, no intrinsics."""

    def read(index: int) -> Batch:
        one = dataset.read(index)
        image = functional.interpolate(one.image, size, mode="bilinear", align_corners=False, antialias=True)
        depth, valid = (functional.interpolate(x.float(), size, mode="nearest-exact") for x in (one.depth, one.valid))
        return one.replace(image=image.clamp(0, 1), depth=depth, valid=valid > 0, intrinsics=None, maps={})

    return dataclasses.replace(dataset, read=read, facts={**dataset.facts, "resized": f"{size[0]}x{size[1]}"})


def look(
    batch: Batch, models: Sequence[DepthModel], protocol: Protocol
) -> tuple[list[dict[str, Any]], tuple[int, int, int, int]]:
    """The entries that `plots.draw_structure` takes for a batch of one sample, and the window to zoom.

    Convention: the window is a fourth of the picture's height and width, where the networks' mean gradient error on
    smooth surfaces is largest.
    """
    batch, protocol = as_read(batch, protocol)
    mask, predictions = torch.zeros(0), []
    for model in models:
        raw = predict(model, batch.image, flip=protocol.flip)
        pred, mask = prepare(raw, batch.depth, batch.valid, kind=model.card.output, protocol=protocol)
        predictions.append(pred)
    truth = Truth(batch.depth, mask)
    terms = [Terms(pred, truth) for pred in predictions]
    here = _entry("truth", "", Terms(batch.depth, truth))
    # the truth's own spectrum stands where a network's row has that of its error
    own = log_power(truth.log, truth.valid, RINGS)[0].tolist()
    here |= {"power": own, "image": _picture(batch.image), "sample": batch.sample[0], "note": ""}
    here["error"] = np.full_like(here["depth"], np.nan)
    entries = [here, *(_entry(m.card.name, m.card.family, t) for m, t in zip(models, terms, strict=True))]
    return entries, _window(terms)


def _entry(name: str, family: str, t: Terms) -> dict[str, Any]:
    truth = t.truth
    bare = lambda x, known: np.where(known[0].numpy(), x[0].numpy(), np.nan)  # noqa: E731
    corner, cross = truth.derive(near.corner) > 0, truth.derive(near.cross)
    size = truth.valid.shape[1:]
    gradient, curvature = (np.full(size, np.nan) for _ in range(2))
    gradient[:-1, :-1] = bare(near.gradient(t)[2], corner)
    curvature[1:-1, 1:-1] = bare(near.laplacian(t.log_pred), cross)
    score = float(METRICS[METRIC](t.raw[:, None], truth.depth[:, None], truth.valid[:, None])[0])
    return {
        "name": name,
        "family": family,
        "depth": bare(t.raw, truth.valid),
        "gradient": gradient,
        "curvature": curvature,
        "error": bare(t.log_ratio, truth.valid),
        "power": log_power(t.log_ratio, truth.valid, RINGS)[0].tolist(),
        "frequency": ring_centres(RINGS),
        "note": f"smooth: {score:.4f}",
        METRIC: score,
    }


def _picture(image: Tensor) -> np.ndarray:
    return (image[0] * 255).round().byte().permute(1, 2, 0).numpy()


def _window(terms: Sequence[Terms]) -> tuple[int, int, int, int]:
    truth = terms[0].truth
    weight = truth.derive(near.corner_smooth)
    error = torch.stack([near.gradient_error(t) * weight for t in terms]).mean(0)[:, None].float()
    height, width = (n // ZOOM for n in truth.valid.shape[1:])
    mean = functional.avg_pool2d(error, (height, width), 1)
    top, left = divmod(int(mean[0, 0].flatten().argmax()), mean.shape[-1])
    return top, left, height, width
