"""What an endpoint's errors mean: one request goes without an answer, or all would be in vain.

except Exception as error:
    if not faults.of_one(error):
        raise
"""

import re

import openai


class NotACompletion(Exception):
    """An answer of the endpoint that is none."""


# What may pass; the client has retried it.
_PASSING = (
    TimeoutError,
    NotACompletion,
    openai.APIConnectionError,
    openai.InternalServerError,
    openai.RateLimitError,
    openai.ConflictError,
)
# A refusal of one request: too long for the model, or kept out by a hosted service's filter.
_OF_ONE = re.compile(
    r"context.?(?:length|size|window)|content.?(?:filter|management)"
    r"|data.?inspection|inappropriate content|flagged",
    re.I,
)
# A field that it does not know, or a request that it does not take.
REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)


def refused(error: Exception) -> bool:
    """Whether an endpoint refuses this request and may take others."""
    refusals = (*REFUSALS, openai.PermissionDeniedError)
    return isinstance(error, refusals) and bool(_OF_ONE.search(told(error)))


def told(error: openai.APIStatusError) -> str:
    """An error's message and body, whatever the shape in which an endpoint gives its reason."""
    return f"{error} {error.body}"


def of_one(error: Exception) -> bool:
    """Whether an error, retried, costs one request its answer; all else is for the caller."""
    timed_out = getattr(error, "status_code", None) == 408
    return isinstance(error, _PASSING) or timed_out or refused(error)
