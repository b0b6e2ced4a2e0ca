"""MODELS: ready networks and oracles by full name; SCHEMES: open families of names such as `timm:<backbone>`."""

from urllib.parse import parse_qsl

from depthprobe.models.adapter import DepthModel
from depthprobe.registry import Registry

MODELS = Registry("model")
SCHEMES = Registry("model scheme")


def load_model(name: str) -> DepthModel:
    """Open a network by name: `zoo:convnext`, `oracle:row`, `timm:resnet18`, `ckpt:FILE`, `py:package.module:factory`.

    Options follow a question mark, as in `py:mynet:build?output=affine_disparity&size=192x256` or `oracle:window?r=9`.
    The model is in eval mode, on the CPU.

    Raises:
        ValueError: if neither a model nor a scheme of that name is known, or an option does not fit.
    """
    base, _, query = name.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    scheme, _, rest = base.partition(":")
    if base in MODELS:
        model = MODELS[base](**options)
    elif scheme in SCHEMES:
        model = SCHEMES[scheme](rest, **options)
    else:
        known = [*MODELS.names(), *(f"{s}:{SCHEMES.facts(s)['form']}" for s in SCHEMES)]
        raise ValueError(f"Expected `model` to be one of {known}, but got {name!r}.")
    loaded: DepthModel = model.eval()
    return loaded
