"""MODELS: networks and oracles by name; SCHEMES: families such as `timm:<backbone>`; OPTIONS: what any may take."""

from urllib.parse import parse_qsl

from depthprobe.models.adapter import DepthModel
from depthprobe.models.options import read_options
from depthprobe.models.trust import check_named_by_user
from depthprobe.registry import Registry, did_you_mean

MODELS = Registry("model")
SCHEMES = Registry("model scheme")
OPTIONS = Registry("model option")  # (model, text, seed) -> None: changes the model in place


def load_model(name: str) -> DepthModel:
    """Open a network by name: `zoo:convnext`, `oracle:row`, `timm:resnet18`, or one from outside.

    From outside: `py:file.py:factory`, `hf:<id or folder>`, `onnx:FILE`, `torchhub:OWNER/REPO:ENTRY`, `ckpt:FILE`. Code
    or pickles that come with it need leave, `?trust=1`.

    Options follow a question mark, as in `py:mynet:build?output=affine_disparity&size=192x256` or `oracle:window?r=9`.
    Those in OPTIONS go with every model: `zoo:convnext?dgr=depth`. The model is in eval mode, on the CPU.

    Raises:
        ValueError: if neither a model nor a scheme of that name is known, or an option does not fit.
    """
    base, _, query = name.partition("?")
    options = _options(name, query)
    added = {key: options.pop(key) for key in OPTIONS if key in options}
    scheme, _, rest = base.partition(":")
    if base in MODELS:
        read = read_options(base, MODELS[base], options)
        model = MODELS[base](**read)
    elif scheme in SCHEMES:
        if brings_code(name):
            check_named_by_user(name)
        read = read_options(f"{scheme}:", SCHEMES[scheme], options)
        model = SCHEMES[scheme](rest, **read)
    else:
        same = [one for one in MODELS if one.startswith(f"{scheme}:")]
        known = same or [*MODELS, *(f"{s}:{SCHEMES.facts(s)['form']}" for s in SCHEMES)]
        hint = did_you_mean(base, same or [*MODELS, *(f"{s}:{rest}" for s in SCHEMES if rest)])
        raise ValueError(f"Expected `model` to be one of {known}, but got {name!r}.{hint}")
    for key, text in added.items():
        OPTIONS[key](model, text, seed=read.get("seed", 0))
    loaded: DepthModel = model.eval()
    return loaded


def _options(name: str, query: str) -> dict[str, str]:
    """The options after a name's question mark, each once."""
    pairs = parse_qsl(query, keep_blank_values=True)
    keys = [key for key, _ in pairs]
    if wrong := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise ValueError(f"Expected every option of {name} once, but got {wrong} more often; leave one of each.")
    return dict(pairs)


def brings_code(name: str) -> bool:
    """Whether a network of this name is made by code from outside the package (the fact `code` of its scheme)."""
    scheme = name.partition("?")[0].partition(":")[0]
    return scheme in SCHEMES and bool(SCHEMES.facts(scheme).get("code"))
