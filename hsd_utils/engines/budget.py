"""What asking an endpoint may cost, and when to stop.

Tokens spent are those that the endpoint counts; the estimate beforehand goes by characters.

    budget = Budget((0.1, 0.4), max_cost=5.0, max_tokens=None, patience=96)
    print(budget.estimate(requests, "http://localhost:8000/v1", tokens_per_second=500))
"""

from collections.abc import Sequence

from hsd_utils.engines import Request, note

CHARACTERS_A_TOKEN = 4  # English, about; for the estimate only
LABEL_TOKENS = 16  # up to and including the label, with room for white space


def counted(completion) -> tuple[int, int]:
    """Tokens of prompt and answer, 0 where the endpoint does not tell."""
    usage = getattr(completion, "usage", None)
    return (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)


class OverBudget(RuntimeError):
    """The budget is spent: answers so far are kept, and a larger one goes on from there."""


class Budget:
    """What may be spent at an endpoint, and what has been.

    Prices are for a million tokens, in any currency; ``None`` limits nothing.  An engine has one
    each time it is opened, which a notebook does once or twice.
    """

    def __init__(self, prices: tuple[float, float], max_cost, max_tokens, patience: int):
        self.prices, self.max_cost, self.max_tokens = prices, max_cost, max_tokens
        self.tokens, self.failures, self.patience = [0, 0], 0, patience
        self.blind = max_cost is None and max_tokens is None  # or told that nothing is counted

    def add(self, prompt: int, answer: int) -> None:
        self.tokens = [self.tokens[0] + prompt, self.tokens[1] + answer]

    def answered(self, tokens: int) -> None:
        """Something got through; that its tokens are not told is said once, if any are limited."""
        self.failures = 0
        if not tokens and not self.blind:
            self.blind = True
            note("the endpoint counts no tokens: max_cost and max_tokens_total stop nothing")

    def failed(self, error: Exception) -> None:
        """Raises the error itself after ``patience`` failures in a row: nothing gets through."""
        self.failures += 1
        if self.failures >= self.patience:
            raise ConnectionError(f"{self.failures} requests in a row failed") from error

    def cost(self, tokens: Sequence[int]) -> float:
        return sum(n * price for n, price in zip(tokens, self.prices, strict=True)) / 1e6

    def spent(self) -> str | None:
        """Which limit is reached, in words."""
        if self.max_cost is not None and self.cost(self.tokens) >= self.max_cost:
            return f"{self.cost(self.tokens):.4f} spent of max_cost {self.max_cost}"
        if self.max_tokens is not None and sum(self.tokens) >= self.max_tokens:
            return f"{sum(self.tokens)} tokens used of max_tokens_total {self.max_tokens}"
        return None

    def estimate(self, requests: Sequence[Request], address: str, tokens_per_second: float) -> str:
        """What the requests may take, in words: at most, since answers seldom reach max_tokens."""
        characters = sum(len(m["content"]) for r in requests for m in r.messages)
        answers = sum(LABEL_TOKENS if r.choices else r.max_tokens for r in requests)
        tokens = (characters // CHARACTERS_A_TOKEN, answers)
        price = f", at most {self.cost(tokens):.4f}" if any(self.prices) else ""
        return (
            f"{len(requests)} requests go to {address}: about {tokens[0]} tokens there, at most "
            f"{tokens[1]} back, {tokens[1] / tokens_per_second / 60:.1f} minutes{price}"
        )
