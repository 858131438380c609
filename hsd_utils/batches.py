"""What a training step is given: examples in which order, side by side, and read how.

Batches are left-padded, so that all answers stand at their end.

    batch = batches.collate(encoded[:8], tokenizer.pad_token_id, share=True)
    keep = batches.logits_needed(batch)
    logits = model(**batches.read(model, batch), logits_to_keep=keep).logits
"""

import os
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler


class Alternating(Sampler):
    """Either label spread evenly over the order, so that each batch has its share of both.

    The order is drawn anew each epoch.  Of as many hateful as harmless examples they take turns.
    """

    def __init__(self, labels):
        self.labels = torch.tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __iter__(self):
        order = torch.randperm(len(self))
        each = torch.stack([self.labels[order] == label for label in (0, 1)]).double()
        place = ((each.cumsum(1) - 0.5) / each.sum(1, keepdim=True) * each).sum(0)  # of its label
        yield from order[place.argsort(stable=True)].tolist()


def collate(rows: list[dict[str, Any]], pad: int, share: bool = False) -> dict[str, torch.Tensor]:
    """Left-padded batch of encoded examples, as tensors.

    input_ids, attention_mask, weights and other_share are (B, T); other_id and total (B).  share:
    tokens that all begin with and none learns are left out, and given as ``prefix`` (P), if any.
    """
    alike = os.path.commonprefix([row["input_ids"] for row in rows])  # of lists, too
    known = min(sum(1 for _ in takewhile(lambda w: w == 0, row["weights"][:-1])) for row in rows)
    # The last one before what is learned stays: it is what that is predicted from.
    cut = max(0, min(len(alike), known - 1)) if share and len(rows) > 1 else 0

    def padded(lines, fill=0):
        return pad_sequence([torch.tensor(line[cut:]) for line in lines], True, fill, "left")

    batch = {
        "input_ids": padded((row["input_ids"] for row in rows), pad),
        "attention_mask": padded([1] * len(row["input_ids"]) for row in rows),
        "weights": padded(row["weights"] for row in rows),
        "other_share": padded(row["other_share"] for row in rows),
        "other_id": torch.tensor([row["other_id"] for row in rows]),
        "total": torch.tensor([row["total"] for row in rows]),
    }
    return batch | ({"prefix": torch.tensor(alike[:cut])} if cut else {})


def logits_needed(batch) -> int:
    """How many positions at a batch's end predict all tokens that count."""
    counted = (batch["weights"] > 0).any(0)
    first = counted.nonzero()[0] if counted.any() else counted.shape[0] - 1
    return int(counted.shape[0] - first + 1)


def read(model, batch) -> dict[str, Any]:
    """What a batch's forward pass takes; what all its examples begin with is read here, once.

    A student's instruction is a third of its tokens.  Where all tokens attend to all before them
    and nothing is dropped, loss and gradient are the same but for rounding: keys and values of
    tokens do not depend on what follows.
    """
    mask = batch["attention_mask"]
    given = {"input_ids": batch["input_ids"], "attention_mask": mask}
    if (prefix := batch.get("prefix")) is None:
        return given
    cache = model(input_ids=prefix[None], use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(len(mask))
    return given | {
        "attention_mask": F.pad(mask, (len(prefix), 0), value=1),
        "position_ids": len(prefix) + mask.cumsum(1) - 1,
        "past_key_values": cache,
    }
