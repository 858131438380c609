"""Sentence and word vectors of all-MiniLM-L6-v2, a small encoder for baselines.

It runs in PyTorch on the CPU; the weights come as those of the other models do (see ``models``).

    python -c "from hsd_utils import encoder; print(encoder.load()(['kind words']).shape)"
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from hsd_utils import models, spans

NAME = "all-MiniLM-L6-v2"
BATCH = 32
MAX_TOKENS = 256


class Encoder:
    """texts -> vectors (n, d): token vectors averaged, as the model was trained (mean pooling).

    ``words`` gives a vector for each word of each text instead.  Texts are cut at MAX_TOKENS.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Each text is encoded once: one source against many asks for the same posts again."""
        new = dict.fromkeys(text for text in texts if text not in self.known)
        new = sorted(new, key=len)  # less padding
        for text, (hidden, _) in zip(new, self._tokens(new), strict=True):
            self.known[text] = hidden.mean(axis=0)
        return np.array([self.known[text] for text in texts])

    def words(self, texts: list[str]) -> list[np.ndarray]:
        """For each text an array (n_words, d); a word without tokens of its own has zeros."""
        made = []
        for text, (hidden, word_of) in zip(texts, self._tokens(texts), strict=True):
            vectors = np.zeros((len(spans.words(text)), hidden.shape[1]), dtype=np.float32)
            for word in {w for w in word_of if w is not None}:
                vectors[word] = hidden[[w == word for w in word_of]].mean(axis=0)
            made.append(vectors)
        return made

    def _tokens(self, texts: list[str]) -> Iterator[tuple[np.ndarray, list[int | None]]]:
        """For each text the vectors of its tokens, and the word each token is of, or None."""
        import torch

        for start in range(0, len(texts), BATCH):
            split = [spans.words(text) for text in texts[start : start + BATCH]]
            given = self.tokenizer(
                split,
                is_split_into_words=True,
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = self.model(**given).last_hidden_state.float().numpy()
            for row, mask in enumerate(given["attention_mask"].numpy().astype(bool)):
                places = np.array(given.word_ids(row), dtype=object)[mask]
                yield hidden[row][mask], places.tolist()


@cache
def load() -> Encoder:
    """The encoder, one for all who ask.

    Raises ConnectionError where neither cache nor network has its weights.
    """
    from transformers import AutoModel, AutoTokenizer

    folder = models.fetch(NAME)
    return Encoder(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
