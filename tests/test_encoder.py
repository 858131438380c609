"""The encoder's pooling, on a network of random weights: what is averaged, and over which words."""

import numpy as np
import pytest

from hsd_utils import encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A two-layer network of eight dimensions with a vocabulary of its own."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    file = tmp_path_factory.mktemp("tiny") / "vocab.txt"
    file.write_text("\n".join("[PAD] [UNK] [CLS] [SEP] [MASK] kind ##ness people .".split()))
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=9, intermediate_size=16, **shape)
    return encoder.Encoder(BertModel(config), BertTokenizerFast(str(file)))


def test_a_text_is_the_mean_of_its_tokens_whatever_stands_beside_it(tiny):
    alone, beside = tiny(["kindness"]), tiny(["kindness", "people . people . kind"])
    assert alone.shape == (1, 8) and np.allclose(alone[0], beside[0], atol=1e-5)
    (hidden, words) = next(tiny._tokens(["kindness"]))
    assert words == [None, 0, 0, None] and np.allclose(alone[0], hidden.mean(axis=0))


def test_each_word_has_the_mean_of_its_pieces(tiny):
    texts = ["kindness people.", "kind", ""]
    found = tiny.words(texts)
    assert [vectors.shape for vectors in found] == [(2, 8), (1, 8), (0, 8)]
    hidden, words = next(tiny._tokens(texts[:1]))
    assert words == [None, 0, 0, 1, 1, None]
    assert np.allclose(found[0][0], hidden[1:3].mean(axis=0), atol=1e-5)


def test_what_is_cut_off_has_zeros(tiny, monkeypatch):
    monkeypatch.setattr(encoder, "MAX_TOKENS", 4)
    (found,) = tiny.words(["kind people kind people"])
    assert found[:2].any(axis=1).all() and not found[2:].any()


def test_many_texts_go_in_batches(tiny, monkeypatch):
    texts = ["kind", "people", "kind people", "kindness"]
    whole = tiny(texts)
    monkeypatch.setattr(encoder, "BATCH", 3)
    assert np.allclose(whole, tiny(texts), atol=1e-5)
