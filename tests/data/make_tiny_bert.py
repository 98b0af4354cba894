"""Make ``tiny_bert``: a real sentence-transformers folder small enough for the repository.

Run ``.venv/bin/python tests/data/make_tiny_bert.py``. It is made anew only when this recipe
changes; the vocabulary comes from the docstrings of the Python that runs it.

The weights are random, yet the embeddings are useful: token embeddings are large and the layers
add little to them, so the mean over tokens is a random projection of the bag of words, and
texts that share words come near each other.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import csv
import datetime
import functools
import inspect
import itertools
import json
import logging
import pathlib
import random
import re
import shutil
import statistics
import string
import threading
from collections.abc import Iterator

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

FOLDER = pathlib.Path(__file__).parent / "tiny_bert"
SEED = 20
N_TOKENS = 1500
HIDDEN_SIZE = 32
MAX_LENGTH = 64
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MODULES = [
    argparse, asyncio, collections, csv, datetime, functools, itertools, json, logging, pathlib,
    random, re, statistics, string, threading,
]  # fmt: skip


def docstrings() -> Iterator[str]:
    """Docstrings of some modules of the standard library and of what they export."""
    for module in MODULES:
        yield inspect.getdoc(module) or ""
        for name in sorted(vars(module)):
            if not name.startswith("_"):
                yield inspect.getdoc(getattr(module, name)) or ""


def make_vocabulary() -> list[str]:
    """Special tokens, characters, then the most frequent words; ties in alphabetical order."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    counts = collections.Counter(
        word for text in docstrings() for word in re.findall("[a-z]{2,}", text.lower())
    )
    frequent = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = [*SPECIAL_TOKENS, *characters, *(f"##{letter}" for letter in characters)]
    return vocabulary + frequent[: N_TOKENS - len(vocabulary)]


def make_tokenizer() -> Tokenizer:
    """A lower-casing WordPiece tokenizer, as BERT's."""
    vocabulary = {token: token_id for token_id, token in enumerate(make_vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def make_network(n_tokens: int) -> BertModel:
    """A BERT whose token embeddings outweigh everything its layers add."""
    torch.manual_seed(SEED)
    network = BertModel(
        BertConfig(
            vocab_size=n_tokens,
            hidden_size=HIDDEN_SIZE,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=2 * HIDDEN_SIZE,
            max_position_embeddings=MAX_LENGTH,
            initializer_range=0.02,
        )
    )
    torch.nn.init.normal_(network.embeddings.word_embeddings.weight, std=1.0)
    return network.eval()


def write_json(name: str, value: object) -> None:
    """Write one of the folder's small files."""
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write the folder, replacing what is there."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    tokenizer = make_tokenizer()
    make_network(tokenizer.get_vocab_size()).save_pretrained(FOLDER)
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    specials = dict(zip(["pad", "unk", "cls", "sep", "mask"], SPECIAL_TOKENS, strict=True))
    write_json(
        "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": MAX_LENGTH,
            **{f"{kind}_token": token for kind, token in specials.items()},
        },
    )
    write_json("sentence_bert_config.json", {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    write_json("config_sentence_transformers.json", {"prompts": {"query": "find: "}})
    write_json(
        "1_Pooling/config.json",
        {"word_embedding_dimension": HIDDEN_SIZE, "pooling_mode_mean_tokens": True},
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(
        "modules.json",
        [
            {
                "idx": index,
                "name": str(index),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
            for index, (path, kind) in enumerate(kinds)
        ],
    )


if __name__ == "__main__":
    main()
