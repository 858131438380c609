"""What a rationale costs: the released loop, its peers and our engine, on the same posts.

All ask the same teacher, out of the same GGUF file, with the same demonstrations.  The released
loop (Piot and Parapar's script) takes one post at a time and the whole prompt each time, in
Transformers; the peers take posts in batches and compute the shared prompt once.

The roofline is the least time a post can take here with int8 arithmetic, from what this machine
was seen to do.  With N weights in the layers, E in the embedding (a byte each), u prompt tokens
that no other post shares, a answer tokens, F operations and M bytes a second, and B answers at a
time:

    seconds = max((2 N (u + a) + 2 E a) / F,  a (N + E) / (B M))

    python -m hsd_utils.bench teacher --posts 192 --run reference
"""

import argparse

from hsd_utils import prompts
from hsd_utils.bench import inference, systems
from hsd_utils.paths import Run

TEACHER = "Qwen2.5-Coder-1.5B-Instruct"
OURS = "openvino (ours)"
PROFILE = "name posts seconds_per_post answer_tokens parse_rate agrees_with_gold".split()


def specs(model: str, shots: int) -> dict[str, dict]:
    same = {"model": model, "prompt": {"shots": shots}}
    loop = {"engine": "transformers", "one_by_one": True, "max_tokens": 2048, "posts": 8}
    batched = {"engine": "transformers", "settings": {"batch": 16}, "posts": 16}
    ours = {"engine": "openvino", "constrained": True}
    as_read = ours | {"settings": {"as_read": True, "batch": 48}}
    server = {"engine": "openai", "constrained": True, "server_slots": 32, "posts": 64}
    return {
        "released loop": same | loop,
        "transformers, 16 at once": same | batched,
        "llama.cpp server, 32 at once": same | server,
        "openvino as it comes, 48 at once": same | as_read,
        OURS: same | ours,
    }


def variants(model: str, shots: int) -> dict[str, dict]:
    """Our engine with one thing changed: where its time goes, and what was tried.

    On fewer posts, so that the last answers, when few are left to decode at once, weigh more.
    """
    ours = specs(model, shots)[OURS] | {"posts": 64}

    def openvino(**properties) -> dict:
        return ours | {"settings": {"properties": properties}}

    return {
        "as it is, 64 at once": ours,
        "prompts alone, an answer of one token": ours | {"max_tokens": 1},
        "no JSON schema": ours | {"constrained": False},
        "no demonstrations": ours | {"prompt": {"shots": 0}},
        "activations not rounded": openvino(DYNAMIC_QUANTIZATION_GROUP_SIZE=0),
        "activations rounded by 32": openvino(DYNAMIC_QUANTIZATION_GROUP_SIZE=32),
        "key-value cache of 8 bits": openvino(KV_CACHE_PRECISION="u8"),
        **{f"{n} at once": ours | {"settings": {"batch": n}} for n in (16, 32)},
    }


def roofline(model: str, unshared: float, answer: float, batch: int) -> dict[str, float]:
    """The least seconds a post by the formula above, and what it was computed from."""
    limits = systems.machine_limits()
    layers, embedding = systems.parameters(model)
    compute = (2 * layers * (unshared + answer) + 2 * embedding * answer) / limits["int8_flops"]
    reading = answer * (layers + embedding) / (batch * limits["bytes_per_second"])
    return limits | {
        "unshared_prompt_tokens": unshared,
        "answer_tokens": answer,
        "compute_seconds": compute,
        "reading_seconds": reading,
        "seconds_per_post": max(compute, reading),
    }


def main(options: argparse.Namespace) -> None:
    rows = systems.sample(options.posts)
    ratio, all_specs = "ratio_to_released_loop", specs(options.model, options.shots)
    found = systems.beside("teacher", all_specs, rows, ratio, "posts_per_second")
    asked = [prompts.teacher(row["text"], shots=options.shots) for row in rows]
    own, ours = systems.unshared_tokens(options.model, asked), found[-1]
    limit = roofline(options.model, own, ours["answer_tokens"], batch=64)
    fraction, more = limit["seconds_per_post"] / ours["seconds_per_post"], {}
    if options.profile:
        changed = systems.run("teacher", variants(options.model, options.shots), rows)
        more["profile"] = [{key: row[key] for key in PROFILE} for row in changed]
    systems.save(Run(options.run), "teacher", found, ratio, limit, fraction, **more)


if __name__ == "__main__":
    parser = systems.command(__doc__, posts=192, model=TEACHER)
    parser.add_argument("--shots", type=int, default=6)
    parser.add_argument("--profile", action="store_true", help="and our engine's own variants")
    systems.start(parser, main, inference.measure)
