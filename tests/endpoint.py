"""An OpenAI-compatible server on loopback that fails on demand, for tests."""

import asyncio
import threading

import pytest
from aiohttp import web

from hsd_utils import engines, prompts, verdict
from hsd_utils.engines import Request


class FaultyServer:
    """Answers by rule; ``faults`` maps a post to what goes wrong before it is answered.

    A fault is a status code, one with a message, "hang", "cut", "garbage", "half", "none" (no
    choices) or "two" (one too many); each is done once, in the order given. ``asked`` counts
    requests by post; ``paid`` those answered. ``begins``: whether it goes on with a turn that
    was begun for the model; "anew": it takes such a turn and begins another. ``logprobs``:
    whether it gives any; "alone": of the token written only. ``status``: of what it refuses.
    """

    def __init__(
        self, faults=None, schemas=True, logprobs=True, begins=False, retry_after="0.01", status=400
    ):
        self.faults = {post: list(planned) for post, planned in (faults or {}).items()}
        self.schemas, self.logprobs, self.retry_after = schemas, logprobs, retry_after
        self.begins, self.status = begins, status
        self.asked, self.paid, self.bodies, self.keys = {}, {}, [], set()
        self.running = self.most = 0

    def __enter__(self):
        self.loop, started = asyncio.new_event_loop(), threading.Event()

        async def start():
            app = web.Application()
            app.router.add_post("/v1/chat/completions", self._handle)
            self.runner = web.AppRunner(app, shutdown_timeout=0.1)
            await self.runner.setup()
            site = web.TCPSite(self.runner, "127.0.0.1", 0)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}/v1"
            started.set()

        def run():
            self.loop.run_until_complete(start())
            self.loop.run_forever()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        started.wait(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.run_until_complete(self._settle())
        self.loop.close()

    @staticmethod
    async def _settle():
        """A request that hangs, or whose client went away, has a task left."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _handle(self, request):
        body = await request.json()
        self.bodies.append(body)
        self.keys.add(request.headers.get("Authorization"))
        post = [turn["content"] for turn in body["messages"] if turn["role"] == "user"][-1]
        self.asked[post] = self.asked.get(post, 0) + 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.005)
            return await self._answer(request, body, post)
        finally:
            self.running -= 1

    async def _answer(self, request, body, post):
        begun = body["messages"][-1]["role"] == "assistant"
        if begun and not self.begins:
            error = {"detail": [{"loc": ["continue_final_message"], "msg": "extra_forbidden"}]}
            return web.json_response(error, status=self.status)
        if "response_format" in body and not self.schemas:
            error = {"detail": [{"loc": ["response_format"], "msg": "extra_forbidden"}]}
            return web.json_response(error, status=self.status)
        if planned := self.faults.get(post):
            fault = planned.pop(0)
            if fault == "hang":
                await asyncio.sleep(30)
            if fault == "cut":
                request.transport.close()
                return web.Response()
            if fault == "garbage":
                return web.Response(text="<html>busy</html>", content_type="text/html")
            if fault == "half":
                return web.Response(text='{"id": "x", "cho', content_type="application/json")
            if fault == "none":
                return web.json_response({**self._shell(post), "choices": []})
            if isinstance(fault, int | tuple):
                status, said = fault if isinstance(fault, tuple) else (fault, f"fault {fault}")
                headers = {"Retry-After": self.retry_after} if status == 429 else {}
                error = {"error": {"message": said}}
                return web.json_response(error, status=status, headers=headers)
            if fault == "two":
                return web.json_response({**self._shell(post), "choices": [{}, {}]})
        self.paid[post] = self.paid.get(post, 0) + 1
        begun = begun and self.begins != "anew"
        text = verdict.write(1, [{"input": post[:5], "explanation": "because"}])
        text = text.removeprefix(body["messages"][-1]["content"]) if begun else text
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None}
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs") and self.logprobs:
            top = [{"token": t, "logprob": p, "bytes": None} for t, p in self._top()]
            said = ['{"', "hate", '_speech":', ' "']
            plain = [{"token": t, "logprob": 0.0, "bytes": None, "top_logprobs": []} for t in said]
            found = {**top[0], "top_logprobs": top if self.logprobs != "alone" else None}
            choice["logprobs"] = {"content": [found] if begun else [*plain, found]}
        return web.json_response({**self._shell(post), "choices": [choice]})

    @staticmethod
    def _top():
        return (("True", -0.2231435513), ("False", -1.6094379124), ("Maybe", -9.0))  # .8 and .2

    @staticmethod
    def _shell(post):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}


def requests(n=6, **more) -> list[Request]:
    return [Request(str(i), [{"role": "user", "content": f"post {i}"}], **more) for i in range(n)]


def weighing(n=2) -> list[Request]:
    return requests(n, prefill=prompts.prefill(), choices=verdict.LABELS)


def open_(server, **more):
    settings = {"concurrency": 4, "timeout": 5.0, "retries": 3} | more
    return engines.load("openai", "m", base_url=server.url, **settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The client waits half a second and more between tries; here a hundredth."""
    import openai._base_client as client

    monkeypatch.setattr(client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("hsd_utils.engines.openai.FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
