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


def specs(model: str) -> dict[str, dict]:
    torch = {"model": model, "engine": "transformers"}
    server = {"model": model, "engine": "openai", "server_slots": 32}
    return {
        "transformers, one at a time": torch | {"one_by_one": True, "posts": 128},
        "transformers, 32 at once": torch | {"settings": {"batch": 32}},
        "llama.cpp server, 32 at once": server,
        "openvino (ours)": {"model": model, "engine": "openvino"},
    }


def main(options: argparse.Namespace) -> None:
    rows, speed = systems.sample(options.posts), "posts_per_second"
    found = systems.beside("student", specs(options.model), rows, "ratio_to_loop", speed)
    layers, embedding = systems.parameters(options.model)
    limit = systems.machine_limits()
    own = systems.unshared_tokens(
        options.model, [prompts.student(row["text"]) for row in rows], prompts.prefill()
    )
    limit["unshared_prompt_tokens"] = own
    limit[speed] = limit["flops"] / (2 * layers * own + 2 * embedding)
    fraction = found[-1][speed] / limit[speed]
    systems.save(Run(options.run), "student", found, "ratio_to_loop", limit, fraction)


if __name__ == "__main__":
    parser = systems.command(__doc__, posts=512, model=STUDENT)
    systems.start(parser, main, inference.measure)
