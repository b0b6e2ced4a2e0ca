"""`hf:` and the hub: what it does not give is one sentence, an id is pinned, offline asks the cache alone."""

import socket

import pytest

pytest.importorskip("transformers")

from hf_cases import save

from depthprobe.models import load_model
from depthprobe.models.trust import VARIABLE


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    return save("glpn", tmp_path / "net")


def hub_errors():
    import httpx
    from huggingface_hub import errors

    response = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))
    return {
        "gated": (errors.GatedRepoError("no", response=response), "on request"),
        "unknown": (errors.RepositoryNotFoundError("no", response=response), "none that you may see"),
        "revision": (errors.RevisionNotFoundError("no", response=response), "no such revision"),
        "unreachable": (errors.LocalEntryNotFoundError("no"), "cannot be reached; give a folder, or run once: hf down"),
        "offline": (errors.OfflineModeIsEnabled("no"), "cannot be reached"),
        "timeout": (OSError("timed out"), "cannot be reached"),
    }


@pytest.mark.parametrize("what", ["gated", "unknown", "revision", "unreachable", "offline", "timeout"])
def test_what_the_hub_does_not_give_is_one_sentence(what, monkeypatch):
    import huggingface_hub

    error, sentence = hub_errors()[what]

    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ValueError, match=f"Expected someone/net at revision v1 from the hub, but .*{sentence}"):
        load_model("hf:someone/net?revision=v1")


def test_an_id_is_pinned_to_the_commit_that_the_hub_gave(folder, monkeypatch):
    import huggingface_hub

    asked = {}
    commit = folder.rename(folder.parent / "0123456789abcdef0123456789abcdef01234567")

    def give(name, *, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(commit)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    model = load_model("hf:someone/net?revision=v1")
    assert (asked["name"], asked["revision"]) == ("someone/net", "v1")
    assert not [p for p in asked["patterns"] if p.endswith((".py", ".bin")) or "pytorch" in p], "no code, no pickle"
    assert (model.card.name, model.card.tag) == ("hf:someone/net", "01234567")
    load_model("hf:someone/net?trust=1")
    assert asked["revision"] is None and "*.py" in asked["patterns"]


def test_offline_asks_the_cache_alone(tmp_path, monkeypatch):
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # as HF_HUB_OFFLINE=1 sets it at the start
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set and it is not in the cache"):
        load_model("hf:someone/net")


def test_without_transformers_the_sentence_says_what_to_install(folder, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "transformers" else find(name))
    with pytest.raises(ValueError, match=r"pip install 'depthprobe\[hf\]'"):
        load_model(f"hf:{folder}")
