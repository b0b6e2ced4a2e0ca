"""Which pixels decide what a network says: attribution of dense-depth targets.

The methods are captum's, each behind one signature; the targets are ours (`functional.targets`), since captum takes one
number per image. Facts of a method: `answers` ("sensitivity": change of the target per unit of intensity;
"contribution": share of the change from the baseline image to this one; "attention": where information may come from,
whatever the target), `signed`, `baseline` (what counts as absent), `passes` (images that the network reads for one
image, a function of its size and the options), `random`, `source`.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from depthprobe.checks import check_gradient, check_range, check_shapes
from depthprobe.functional.filling_core import IMAGENET_MEAN, flat
from depthprobe.functional.targets import Target
from depthprobe.registry import Registry

ATTRIBUTIONS = Registry("attribution method")


def attribute(
    name: str,
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    target: Target | Callable[[Tensor], Tensor],
    *,
    seeds: Sequence[int],
    baseline: Tensor | None = None,
    batch: int = 32,
    **options: float,
) -> Tensor:
    """Attribution (B,3,H,W) of a target of the model's prediction to the image's values.

    Convention: image (B,3,H,W) in [0,1]; target: predictions (N,1,H,W) -> (N,); baseline (B,3,H,W), the image that
    counts as no information (None: ImageNet's mean colour everywhere); seeds: one per image, random methods draw from
    it alone; batch: perturbed images of methods without randomness that the network reads at once. Images are worked on
    one after the other, so that neither noise nor the last bit depends on the batch. The model's mode is the caller's
    business; its weights, gradients, hooks and the global random state are afterwards as before.

    Raises:
        ValueError: if the method is unknown, shapes or the number of seeds do not fit, the target gives no number per
            image, or the method does not apply to the network.
    """
    method = ATTRIBUTIONS[name]
    size = check_shapes(image=(image, "b 3 h w"), **({} if baseline is None else {"baseline": (baseline, "b 3 h w")}))
    check_range("batch", batch, 1, 1e6)
    if len(seeds) != size["b"]:
        raise ValueError(f"Expected one seed per image ({size['b']}), but got {len(seeds)}.")
    absent = flat(image, IMAGENET_MEAN).expand_as(image) if baseline is None else baseline
    found = []
    for i, seed in enumerate(seeds):
        one = slice(i, i + 1)
        net = Scalar(model, target.take(i) if isinstance(target, Target) else target)
        read = image[one].detach().clone().requires_grad_()
        with _leaving_nothing(net), _seeded(seed, image.device):
            found.append(method(net, read, absent[one].detach(), int(batch), **options).detach().to(image.dtype))
    return torch.cat(found)


def pixel_score(name: str, attribution: Tensor) -> Tensor:
    """How much a pixel matters (B,1,H,W), >= 0, from an attribution (B,3,H,W): what ranks pixels.

    Convention: contributions of the three channels are added with their signs, since a pixel is removed as a whole;
    sensitivities by size.
    """
    check_shapes(attribution=(attribution, "b 3 h w"))
    whole = ATTRIBUTIONS.facts(name)["answers"] == "contribution"
    return attribution.sum(1, keepdim=True).abs() if whole else attribution.abs().sum(1, keepdim=True)


class Scalar(nn.Module):
    """A model and a target as one module, image (N,3,H,W) -> (N,): what captum takes."""

    def __init__(self, model: Callable[[Tensor], Tensor], target: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, image: Tensor) -> Tensor:
        """The target of the prediction.

        Raises:
            ValueError: if the target gives anything but one number per image, or no gradient where one is asked for.
        """
        value = self.target(self.model(image))
        if image.requires_grad and torch.is_grad_enabled():
            check_gradient(value)
        if tuple(value.shape) != (len(image),):
            raise ValueError(
                f"Expected `target` to give one number per image ({len(image)},), but got {tuple(value.shape)}."
            )
        return value


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Captum draws from the global generators: they are seeded for the block and put back after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002  (it is the global state that captum uses)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            torch.random.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextlib.contextmanager
def _leaving_nothing(net: nn.Module) -> Iterator[None]:
    """Removes what DeepLift leaves on modules when it fails half-way, and silences its announcement of hooks."""
    before = {module: set(module.__dict__) for module in net.modules()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Setting forward, backward hooks", category=UserWarning)
            yield
    finally:
        for module, had in before.items():
            for left in ({"input", "input_ref", "output"} & set(module.__dict__)) - had:
                delattr(module, left)


def _once(height: int, width: int) -> int:
    return 1


@ATTRIBUTIONS.register(
    "gradient", answers="sensitivity", signed=True, baseline="none", passes=_once, random=False,
    source="Simonyan et al. 2014, arXiv:1312.6034",
)  # fmt: skip
def gradient(net: nn.Module, image: Tensor, baseline: Tensor, batch: int) -> Tensor:
    """The gradient, with its sign."""
    from captum.attr import Saliency

    return Saliency(net).attribute(image, abs=False)


@ATTRIBUTIONS.register(
    "saliency", answers="sensitivity", signed=False, baseline="none", passes=_once, random=False,
    source="Simonyan et al. 2014, arXiv:1312.6034",
)  # fmt: skip
def saliency(net: nn.Module, image: Tensor, baseline: Tensor, batch: int) -> Tensor:
    """Size of the gradient."""
    from captum.attr import Saliency

    return Saliency(net).attribute(image, abs=True)


@ATTRIBUTIONS.register(
    "input_x_gradient", answers="contribution", signed=True, baseline="black", passes=_once, random=False,
    source="Shrikumar et al. 2016, arXiv:1605.01713",
)  # fmt: skip
def input_x_gradient(net: nn.Module, image: Tensor, baseline: Tensor, batch: int) -> Tensor:
    """Gradient times intensity: what black in its place would change, were the network linear."""
    from captum.attr import InputXGradient

    return InputXGradient(net).attribute(image)


@ATTRIBUTIONS.register(
    "integrated_gradients", answers="contribution", signed=True, baseline="given", random=False,
    passes=lambda height, width, *, steps=32: steps, source="Sundararajan et al. 2017, arXiv:1703.01365",
)  # fmt: skip
def integrated_gradients(net: nn.Module, image: Tensor, baseline: Tensor, batch: int, *, steps: int = 32) -> Tensor:
    """Gradient averaged along the line from the baseline (Gauss-Legendre), times the difference to the baseline."""
    from captum.attr import IntegratedGradients

    return IntegratedGradients(net).attribute(image, baselines=baseline, n_steps=steps, internal_batch_size=batch)


@ATTRIBUTIONS.register(
    "gradient_shap", answers="contribution", signed=True, baseline="given", random=True,
    passes=lambda height, width, *, samples=16, deviation=0.05: samples,
    source="Lundberg & Lee 2017, arXiv:1705.07874",
)  # fmt: skip
def gradient_shap(
    net: nn.Module, image: Tensor, baseline: Tensor, batch: int, *, samples: int = 16, deviation: float = 0.05
) -> Tensor:
    """Integrated gradients at random points of the line, from copies of the image with white noise.

    Convention: all samples are read at once; `deviation` of the noise in intensity.
    """
    from captum.attr import GradientShap

    return GradientShap(net).attribute(image, baselines=baseline, n_samples=samples, stdevs=float(deviation))


@ATTRIBUTIONS.register(
    "deep_lift", answers="contribution", signed=True, baseline="given", random=False,
    passes=lambda height, width: 2, source="Shrikumar et al. 2017, arXiv:1704.02685 (rescale rule)",
)  # fmt: skip
def deep_lift(net: nn.Module, image: Tensor, baseline: Tensor, batch: int) -> Tensor:
    """Differences to the baseline carried back through the network.

    Convention: the rule knows the modules ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus, Softmax and MaxPool. Whatever
    else is not linear (GELU, SiLU, ReLU6, LayerNorm, attention, functions that are no module) counts by its gradient.
    So it is unsuited to networks made of those, as ConvNeXt, Transformers and all of the zoo are (their decoder has
    GELU): there it is the gradient times the difference to the baseline by another name, and `completeness_gap` shows
    it.
    """
    from captum.attr import DeepLift

    try:
        return DeepLift(net).attribute(image, baselines=baseline)
    except (RuntimeError, AssertionError) as error:
        if "more than once" not in str(error):
            raise
        raise ValueError(
            "Expected a network that uses each of its modules once for `deep_lift`, but one runs several times; leave "
            "the method out."
        ) from error


def _windows(length: int, window: int, stride: int) -> int:
    """How many windows lie along a side: a window is at most the side long, and a stride at most the window."""
    window = min(window, length)
    return -(-(length - window) // min(stride, window)) + 1


@ATTRIBUTIONS.register(
    "occlusion", answers="contribution", signed=True, baseline="given", random=False,
    passes=lambda height, width, *, window=16, stride=8: 1
    + _windows(height, window, stride) * _windows(width, window, stride),
    source="Zeiler & Fergus 2014, arXiv:1311.2901",
)  # fmt: skip
def occlusion(
    net: nn.Module, image: Tensor, baseline: Tensor, batch: int, *, window: int = 16, stride: int = 8
) -> Tensor:
    """Effect of a square window in the baseline's colours, averaged over the windows that cover a pixel.

    Convention: divided by the values (pixels times channels) in a window, so that it is comparable with methods that
    attribute to single values; captum gives every pixel the whole effect. Windows cut by the border count as whole.
    """
    from captum.attr import Occlusion

    high, wide = min(window, image.shape[-2]), min(window, image.shape[-1])
    found = Occlusion(net).attribute(
        image,
        sliding_window_shapes=(3, high, wide),
        strides=(3, min(stride, high), min(stride, wide)),
        baselines=baseline,
        perturbations_per_eval=batch,
    )
    return found / (3 * high * wide)


@ATTRIBUTIONS.register(
    "feature_ablation", answers="contribution", signed=True, baseline="given", random=False,
    passes=lambda height, width, *, size=8, channels=False: 1
    + -(-height // size) * -(-width // size) * (3 if channels else 1),
    source="captum (FeatureAblation)",
)  # fmt: skip
def feature_ablation(
    net: nn.Module, image: Tensor, baseline: Tensor, batch: int, *, size: int = 8, channels: bool = False
) -> Tensor:
    """Effect of each block of size x size pixels in the baseline's colours; with `channels`, of each channel alone.

    Convention: the effect is divided evenly among the block's values, so that the sum is that of all effects.
    """
    from captum.attr import FeatureAblation

    height, width = image.shape[-2:]
    row = (torch.arange(height, device=image.device) // size).view(-1, 1)
    column = (torch.arange(width, device=image.device) // size).view(1, -1)
    block = row * -(-width // size) + column
    blocks = int(block.max()) + 1
    layer = torch.arange(3, device=image.device).view(1, 3, 1, 1) * (blocks if channels else 0)
    feature = (block + layer).expand(1, 3, -1, -1)
    found = FeatureAblation(net).attribute(
        image, baselines=baseline, feature_mask=feature, perturbations_per_eval=batch
    )
    return found / torch.bincount(feature.flatten())[feature]


def _noisy(
    net: nn.Module, image: Tensor, baseline: Tensor, batch: int, *, kind: str, samples: int = 16, deviation: float = 0.1
) -> Tensor:
    """The gradient at copies of the image with white noise, all read at once; `deviation` in intensity."""
    from captum.attr import NoiseTunnel, Saliency

    tunnel = NoiseTunnel(Saliency(net))
    return tunnel.attribute(image, nt_type=kind, nt_samples=samples, stdevs=float(deviation), abs=False)


for _name, _signed, _source in (
    ("smoothgrad", True, "Smilkov et al. 2017, arXiv:1706.03825 (mean of the gradients)"),
    ("smoothgrad_sq", False, "Hooker et al. 2019, arXiv:1806.10758 (mean of the squared gradients)"),
    ("vargrad", False, "Adebayo et al. 2018, arXiv:1810.03307 (variance of the gradients)"),
):
    ATTRIBUTIONS.register(
        _name, answers="sensitivity", signed=_signed, baseline="none", random=True,
        passes=lambda height, width, *, samples=16, deviation=0.1: samples, source=_source,
    )(functools.partial(_noisy, kind=_name))  # fmt: skip
