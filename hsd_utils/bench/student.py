"""What a label costs: the student's P(hate) alone, posts a second, by engine.

All score the same posts at the label token with the same small model, as it comes: an adapter
is merged before use and changes no shape.  The first is how a script would ask: one post at a
time in Transformers.  The roofline: N weights in the layers for each of the u prompt tokens that
no other post shares, E in the embedding once, F FLOP a second:

    posts a second = F / (2 N u + 2 E)

    python -m hsd_utils.bench student --posts 512 --run reference
"""

import argparse

from hsd_utils import prompts
from hsd_utils.bench import inference, systems
from hsd_utils.paths import Run

STUDENT = "SmolLM2-135M-Instruct"
LOOP, OURS = "transformers, one at a time", "openvino (ours)"


def specs(model: str) -> dict[str, dict]:
    same = {"model": model}
    return {
        LOOP: same | {"engine": "transformers", "one_by_one": True, "posts": 128},
        "transformers, 32 at once": same | {"engine": "transformers", "settings": {"batch": 32}},
        "llama.cpp server, 32 at once": same | {"engine": "openai", "server_slots": 32},
        OURS: same | {"engine": "openvino"},
    }


def main(options: argparse.Namespace) -> None:
    rows = systems.sample(options.posts)
    found = systems.run("student", specs(options.model), rows, (LOOP, OURS))
    by_name = {row["name"]: row for row in found}
    loop, ours = by_name[LOOP], by_name[OURS]
    for row in found:
        row["ratio_to_loop"] = row["posts_per_second"] / loop["posts_per_second"]
    systems.compare(found, LOOP)
    layers, embedding = systems.parameters(options.model)
    limit = systems.machine_limits()
    own = systems.unshared_tokens(
        options.model, [prompts.student(row["text"]) for row in rows], prompts.prefill()
    )
    limit["unshared_prompt_tokens"] = own
    limit["posts_per_second"] = limit["flops"] / (2 * layers * own + 2 * embedding)
    result = {
        "engines": found,
        "ratio_to_loop": ours["ratio_to_loop"],
        "roofline": limit,
        "roofline_fraction": ours["posts_per_second"] / limit["posts_per_second"],
    }
    systems.save(Run(options.run), "student", result)


if __name__ == "__main__":
    parser = systems.command(__doc__, posts=512, model=STUDENT)
    systems.start(parser, main, inference.measure)
