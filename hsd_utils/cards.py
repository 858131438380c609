"""Cards: a Hugging Face model card filled from a run.

card = cards.model_card(student, teacher, sampling, parameters)
"""

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from hsd_utils import models
from hsd_utils.machine import environment

PAPER = "https://arxiv.org/abs/2412.13698"


def model_card(
    student: Mapping[str, Any],
    teacher: Mapping[str, Any],
    sampling: Mapping[str, Any],
    parameters: Mapping[str, Any],
    languages: Collection[str] = (),
) -> str:
    """Markdown with the metadata block of the Hub (https://hf.co/docs/hub/model-cards).

    student, teacher and sampling are the results of notebooks 03, 02 and 01; languages are those
    known of the posts it learned.  A student of the Llama 3 family carries what its licence asks
    for: the name and "Built with Meta Llama 3".
    """
    base, taught_by = models.find(student["base"]), models.served(teacher["model"])
    llama = "llama3" in (base.family, taught_by.family)
    name = f"{'Llama-3-' if llama else ''}HSD-{base.name.split('/')[-1]}-{student['recipe']}"
    metadata = {
        "license": "llama3" if llama else base.licence.lower() if base.files else "other",
        "base_model": base.repository,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        **({"language": sorted(languages)} if languages else {}),
        "tags": ["hate-speech-detection", "explainability", "distillation", "lora", "unsloth"],
    }
    sources, spoken = (", ".join(sorted(some)) for some in (sampling["read"], languages))
    adapter = "QLoRA" if parameters.get("four_bit", True) else "LoRA"
    trained = {k: v for k, v in parameters.items() if k not in ("run", "reveal", "student")}
    rows = "\n".join(f"| `{key}` | {value} |" for key, value in trained.items())
    where, shots = environment(), teacher["prompt"]["shots"]
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False).strip()}
---
# {name}
{"Built with Meta Llama 3." if llama else ""}
A small model that says whether a post is hate speech, quotes the phrases that decide it and
explains them, distilled from a larger one after [Piot and Parapar (2024)]({PAPER}).

> **Content warning.** It was made from, and is meant for, posts that can be hateful.

- **Student:** {base.name} ({base.what}; licence {base.licence}), {adapter} adapter
- **Teacher:** {taught_by.name} (licence {taught_by.licence}), {shots} demonstrations
- **Trained on:** {student["examples"]} examples from {sources}; languages: {spoken or "not known"}
- **Labels from:** {student["supervision"]}
- **Objective:** {student["objective"]}; best dev loss {student["best_dev_loss"]:.3f}
- **Commit:** {where["commit"]}; {where["hardware"]["processor"]}, {student["seconds"]:.0f} s

## Use
The user turn is one instruction and the post; the answer is one JSON object.

```python
from hsd_utils.detect import Detector

for verdict in Detector.of_run("{parameters["run"]}").read(["a post"]):
    print(verdict["label"], verdict["p_hate"], verdict["explanations"])
```

## Intended use and limits
For research and for helping people who moderate; not for deciding about people without them.
It inherits what its teacher and its data take for hate speech, knows posts of the sources and
languages above, and is unreliable on dialects, reclaimed words and irony. A quoted reason is what
the model says, not proof of what moved it. Read the evaluation of its run before use.

## Data
The posts keep the licences of their sources and are not part of this model. Cite the sources.

## Training
| parameter | value |
|---|---|
{rows}
"""
