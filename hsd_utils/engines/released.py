"""A released run's answers in place of its model: what the store holds is read, nothing is asked.

``release.restore`` names this engine in the run that it makes: the notebooks after the teacher's
then find its answers under the identity of the engine that gave them, without its weights.

    engines.load("released", "Qwen2.5-Coder-1.5B-Instruct", identity={...}, constrained=True)
"""

from collections.abc import Iterable, Iterator
from typing import Any

from hsd_utils.engines import Answer, Request


class Released:
    """An engine that has no model: raises RuntimeError, saying so, when it is asked anything."""

    batch, grammars, streams = 1, False, False

    def __init__(self, model: str, *, identity: dict[str, Any], constrained: bool):
        """``identity`` and ``constrained`` are those of the engine that answered."""
        self.identity, self.constrained, self.files = identity, constrained, []

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        if asked := len(list(requests)):
            raise RuntimeError(
                f"{asked} answers of {self.identity['model']} are not in the release: they take "
                "the model itself (run 02 with it, then this notebook)"
            )
        return iter(())


load = Released
