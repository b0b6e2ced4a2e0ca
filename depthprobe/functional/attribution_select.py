"""Attributions as selectors: pixels by how much they matter for the network's mean prediction."""

from torch import Tensor

from depthprobe.functional.attribution import attribute, pixel_score
from depthprobe.functional.selection_core import SELECTORS, SelectorInput
from depthprobe.functional.targets import Target


def _important(view: SelectorInput, name: str) -> Tensor:
    assert view.model is not None
    found = attribute(name, view.model, view.image, Target("mean"), seeds=view.seeds)
    return pixel_score(name, found)


@SELECTORS.register("saliency", needs=("model",), source="Simonyan et al. 2014, arXiv:1312.6034")
def saliency(view: SelectorInput) -> Tensor:
    """Pixels by the gradient of the network's mean prediction."""
    return _important(view, "saliency")


@SELECTORS.register("integrated_gradients", needs=("model",), source="Sundararajan et al. 2017, arXiv:1703.01365")
def integrated_gradients(view: SelectorInput) -> Tensor:
    """Pixels by their share of the change of the mean prediction from ImageNet's mean colour to the image."""
    return _important(view, "integrated_gradients")
