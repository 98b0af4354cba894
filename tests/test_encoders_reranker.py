"""The cross-encoder: what it scores, what it refuses."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from encoders.reranker import Reranker
from ingest.errors import ModelNotFoundError

DATA = Path(__file__).parent / "data"
TINY = DATA / "tiny_cross_encoder"
TEXTS = [
    "read a file and close it",
    "socket timeout",
    "open file path",
    "regex " * 500,
    "",
    "\ud800",
]


def test_scores_are_those_of_the_library() -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(TINY), device="cpu", local_files_only=True)
    pairs = [("open a file", text) for text in TEXTS[:4]]
    expected = [float(model.predict([pair])[0]) for pair in pairs]
    found = Reranker(TINY).scores("open a file", TEXTS[:4])
    # The library squashes; the order and the logits behind it are the same.
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), expected, atol=1e-6)


def test_a_batch_scores_as_its_texts_do_alone_from_any_thread() -> None:
    reranker = Reranker(TINY)
    alone = [reranker.scores("open", [text])[0] for text in TEXTS]
    found: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: found.append(reranker.scores("open", TEXTS).tolist()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for scores in found:
        np.testing.assert_allclose(scores, alone, atol=1e-5)
    assert reranker.scores("open", []).shape == (0,)


def broken(folder: Path, **config: object) -> Path:
    shutil.copytree(TINY, folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **config}), "utf-8")
    return folder


def test_a_folder_that_is_no_safe_re_ranker_is_refused_in_one_line(tmp_path: Path) -> None:
    pickled = broken(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    foreign = broken(tmp_path / "foreign")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "custom.Transformer"}]
    (foreign / "modules.json").write_text(json.dumps(modules), "utf-8")
    cut = broken(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes(b"\0" * 10)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = {
        str(tmp_path / "nowhere"): "no such folder",
        "cross-encoder/ms-marco-MiniLM-L6-v2": "no such folder",
        str(empty): "config.json is missing",
        str(DATA / "tiny_bert"): "it is no CrossEncoder",
        str(pickled): "a pickle, which could run code",
        str(foreign): "custom.Transformer is refused",
        str(cut): "cannot be loaded",
        str(broken(tmp_path / "code", auto_map={"AutoModel": "x.Y"})): "names code of its own",
        str(broken(tmp_path / "labels", id2label={"0": "no", "1": "yes"})): "cannot be loaded",
    }
    for model, reason in refused.items():
        with pytest.raises(ModelNotFoundError, match=reason) as caught:
            Reranker(model).load()
        assert "\n" not in str(caught.value)
        assert str(model) in str(caught.value)


def test_a_re_ranker_saved_by_the_library_is_read(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    CrossEncoder(str(TINY), device="cpu", local_files_only=True).save_pretrained(str(tmp_path))
    assert (tmp_path / "modules.json").is_file()
    expected = Reranker(TINY).scores("open", TEXTS[:2])
    np.testing.assert_allclose(Reranker(tmp_path).scores("open", TEXTS[:2]), expected, atol=1e-6)


def test_a_model_with_missing_weights_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: weights[name] for name in weights if not name.startswith("classifier")}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(ModelNotFoundError, match="weights are in none of"):
        Reranker(str(folder)).load()
