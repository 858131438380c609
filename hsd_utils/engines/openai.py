"""Any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, Ollama, a hosted service.

Posts leave this machine for the address that the caller names, and nowhere else.  The official
client retries what may pass (408, 409, 429, 5xx, time-outs, cut connections) with backoff and
jitter and honours Retry-After; here are the bound on requests in flight, the deadline of each,
the budget, and how a label's probability is read from the log-probabilities of its token.  An
answer that was begun (``prefill``) is refused where the server does not go on with it.

    engines.load("openai", "Qwen/Qwen2.5-7B-Instruct", base_url="http://localhost:8000/v1")
"""

import asyncio
import logging
import os
import queue
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import openai

from hsd_utils.engines import Answer, Request, faults, labels, note
from hsd_utils.engines.budget import LABEL_TOKENS, Budget, OverBudget, counted

log = logging.getLogger(__name__)

# vLLM, SGLang and llama.cpp go on with the model's own turn, here an answer's beginning.
CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
UNBEGUN = "no answer begun for the model is gone on with here: set constrained, for a schema"
FIRST_WAIT = 0.5  # seconds before a second try, doubled each time up to eight


class Endpoint:
    constrained, grammars, streams = True, False, False

    def __init__(self, connect, identity, concurrency, deadline, budget, tokens_per_second):
        self.connect, self.identity, self.batch = connect, identity, concurrency
        self.deadline, self.budget, self.speed = deadline, budget, tokens_per_second
        self.schemas = self.weighs = self.begins = True  # until the server shows that it is not so
        self.files: list = []

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        requests = list(requests)
        if not requests:
            return
        note(self.budget.estimate(requests, self.identity["weights"][0], self.speed))
        done: queue.SimpleQueue = queue.SimpleQueue()
        stop = threading.Event()
        # A loop of its own in a thread of its own: JupyterLab's kernel has one running already.
        work = threading.Thread(target=lambda: asyncio.run(self._all(requests, done.put, stop)))
        work.start()
        clock = time.perf_counter()
        try:
            while (found := done.get()) is not None:
                if isinstance(found, openai.OpenAIError):
                    raise RuntimeError(f"the endpoint refuses: {found}") from found
                if isinstance(found, BaseException):
                    raise found
                now = time.perf_counter()
                yield replace(found, seconds=now - clock)
                clock = now
        finally:
            stop.set()
            work.join()

    async def _all(self, requests: list[Request], put, stop: threading.Event) -> None:
        """Ask everything, ``batch`` at once; put answers, perhaps an error, and a None."""
        slots = asyncio.Semaphore(self.batch)

        async def ask(client, request: Request) -> None:
            try:
                async with asyncio.timeout(self.deadline):
                    put(await self._ask(client, request))
            except Exception as error:
                if not faults.of_one(error):
                    raise
                # It has had its retries: this post is counted as failed, the others go on.
                log.warning("%s: no answer (%s)", request.key, error or type(error).__name__)
                put(Answer(request.key, "", 0, 0, 0.0, "failed"))
                self.budget.failed(error)
            finally:
                slots.release()

        try:
            async with self.connect() as client, asyncio.TaskGroup() as group:
                cut = False
                for request in requests:
                    await slots.acquire()
                    if cut := stop.is_set() or bool(self.budget.spent()):
                        break
                    group.create_task(ask(client, request))
            if cut and self.budget.spent():
                put(OverBudget(f"{self.budget.spent()}: raise it and rerun, answers are kept"))
        except* Exception as errors:  # nothing that a retry could mend: a key, a model's name
            put(errors.exceptions[0])
        finally:
            put(None)

    async def _ask(self, client, request: Request) -> Answer:
        """One answer; what is no completion at all is asked for again, as a fault would be."""
        for attempt in range(client.max_retries + 1):
            with suppress(ValueError, openai.APIResponseValidationError):  # half a JSON
                got = await self._complete(client, request)
                if (answer := read(request, got)) is not None:
                    self.budget.answered(answer.prompt_tokens + answer.answer_tokens)
                    if request.choices and not got.choices[0].logprobs and self.weighs:
                        self.weighs = False
                        note("the endpoint gives no log-probabilities: P(hate) is 0 or 1")
                    return answer
            await asyncio.sleep(min(FIRST_WAIT * 2**attempt, 8) * random.uniform(0.75, 1))
        raise faults.NotACompletion("the endpoint does not answer with completions")

    async def _complete(self, client, request: Request):
        model = self.identity["model"]
        if request.prefill and self.begins and (self.weighs or not request.choices):
            try:
                got = await self._create(client, body(request, model, begun=True))
                if not request.choices or labels.begun(got):
                    return got
            except faults.REFUSALS as error:
                if faults.refused(error):
                    raise
                self.begins = False  # it knows no such fields
                if not request.choices:
                    raise RuntimeError(f"{UNBEGUN}: {error}") from error
            # Or it began a turn of its own, or lists neither label: asked through a schema.
        asked = body(request, model, self.schemas)
        try:
            return await self._create(client, asked)
        except faults.REFUSALS as error:
            refused = re.search("response_format|schema", faults.told(error))
            if "response_format" not in asked or not refused:
                raise
            # What it writes without a schema is parsed, and repaired, like any answer.
            self.schemas = False
            note("the endpoint refuses JSON schemas: asking without")
        return await self._create(client, body(request, model, False))

    async def _create(self, client, asked: dict):
        """Ask once; what comes is paid for, whether or not it is of use."""
        got = await client.chat.completions.create(**asked)
        self.budget.add(*counted(got))
        return got


def body(request: Request, model: str, schemas: bool = True, begun: bool = False) -> dict[str, Any]:
    """What an endpoint is sent for a request: the fields of POST /v1/chat/completions.

    begun: its prefill goes along as a turn to go on with, said in the client's ``extra_body``.
    Raises RuntimeError where a label is to be weighed that does not come first, and where the
    prefill of an answer would be left out.
    """
    if request.choices and not request.prefill.startswith('{"hate_speech"'):
        raise RuntimeError("an endpoint can weigh a label only where it comes first")
    if request.prefill and not (request.choices or begun):
        raise RuntimeError(UNBEGUN)
    asked = {"model": model, "messages": request.messages, "temperature": 0}
    asked |= {"max_tokens": request.max_tokens}
    if request.choices:
        asked |= {"max_tokens": 1 if begun else LABEL_TOKENS, "logprobs": True, "top_logprobs": 20}
    if begun:
        turn = {"role": "assistant", "content": request.prefill}
        return asked | {"messages": [*request.messages, turn], "extra_body": CONTINUE}
    schema = request.schema or (labels.schema(request.choices) if request.choices else None)
    if schema and schemas:
        form = {"name": "answer", "schema": schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": form}
    return asked


def read(request: Request, completion) -> Answer | None:
    """The answer in a ``ChatCompletion``, or None where it holds none.

    Without log-probabilities all goes to the label that the text names.  Raises RuntimeError for
    an answer that was begun and is begun anew.
    """
    choices = getattr(completion, "choices", None)
    if not choices or choices[0].message is None:
        return None
    text, counts = choices[0].message.content or "", counted(completion)
    if request.choices:
        shares = labels.shares(choices[0].logprobs, request.choices)
        shares = shares or labels.said(text, request.choices)
        return Answer(request.key, "", *counts, 0.0, "choices", shares)
    if not text.startswith(request.prefill):  # some servers repeat it
        if labels.anew(text):
            raise RuntimeError(UNBEGUN)
        text = request.prefill + text
    finish = "length" if choices[0].finish_reason == "length" else "stop"
    return Answer(request.key, text, *counts, 0.0, finish)


def address(base_url: str) -> str:
    """An endpoint's address without its last slash; raises ValueError, which repeats no key."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or set("@?#") & set(base_url):
        raise ValueError("base_url: write it like http://localhost:8000/v1, no key, @, ? or #")
    return base_url.rstrip("/")


def load(
    model: str,
    *,
    base_url: str = "",
    concurrency: int = 32,
    deadline: float = 600.0,
    timeout: float = 120.0,
    retries: int = 6,
    tokens_per_second: float = 500.0,
    price_in: float = 0.0,
    price_out: float = 0.0,
    max_cost: float | None = None,
    max_tokens_total: int | None = None,
):
    """Open a model behind an endpoint.

    base_url: where posts are sent, named by the caller always.  concurrency: requests in
    flight; timeout: seconds for one try, deadline: for all tries of a request.
    tokens_per_second: what the endpoint writes in all, for the estimate of the time.  Prices per
    million tokens and limits, of this opening: see ``Budget``.  The key: OPENAI_API_KEY only.
    Raises ValueError for an address that is none.
    """
    connect = partial(
        openai.AsyncOpenAI,
        base_url=address(base_url),
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        timeout=timeout,
        max_retries=retries,
    )
    # Who serves the model, with which weights, is for the endpoint to say: its address stands
    # for it, so that two servers' answers are never mixed.
    identity = {"engine": "openai", "version": "chat.completions 3", "model": model}
    identity["weights"] = [address(base_url)]
    budget = Budget((price_in, price_out), max_cost, max_tokens_total, patience=3 * concurrency)
    return Endpoint(connect, identity, concurrency, deadline, budget, tokens_per_second)
