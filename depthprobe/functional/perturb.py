"""Image-space edits: the counterfactuals of data sets that cannot be rendered again."""

from depthprobe.registry import Registry

PERTURBATIONS = Registry("perturbation")
