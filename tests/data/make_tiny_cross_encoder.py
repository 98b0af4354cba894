"""Make ``tiny_cross_encoder``: a real CrossEncoder folder small enough for the repository.

Run ``.venv/bin/python tests/data/make_tiny_cross_encoder.py`` after ``make_tiny_bert.py``, whose
vocabulary it takes. The weights are random: it scores pairs of texts by no understandable rule,
but always alike, and rather differently from one text to the next.
"""

from __future__ import annotations

import json
import pathlib
import shutil

import torch
from tokenizers import Tokenizer, processors
from transformers import BertConfig, BertForSequenceClassification

DATA = pathlib.Path(__file__).parent
FOLDER = DATA / "tiny_cross_encoder"
SEED = 20
HIDDEN_SIZE = 16
MAX_LENGTH = 128


def make_tokenizer() -> Tokenizer:
    """The tokenizer of the tiny BERT, for pairs."""
    tokenizer = Tokenizer.from_file(str(DATA / "tiny_bert" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def make_network(n_tokens: int) -> BertForSequenceClassification:
    """One layer, one label, weights large enough that texts differ in their scores."""
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=n_tokens,
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * HIDDEN_SIZE,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.5,
        num_labels=1,
    )
    return BertForSequenceClassification(config).eval()


def main() -> None:
    """Write the folder, replacing what is there."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    tokenizer = make_tokenizer()
    make_network(tokenizer.get_vocab_size()).save_pretrained(FOLDER)
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    names = {kind: f"[{kind.upper()}]" for kind in ("pad", "unk", "cls", "sep", "mask")}
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": MAX_LENGTH,
        **{f"{kind}_token": token for kind, token in names.items()},
    }
    text = json.dumps(settings, indent=2) + "\n"
    (FOLDER / "tokenizer_config.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
