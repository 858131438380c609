"""Answers already paid for: append-only, resumable, shared by all runs.

One JSON Lines file for each engine, model and precision lies under ``HSD_CACHE/answers``.  A
line's key is a hash of everything that shapes the answer (messages, prefill, choices, schema,
length), so a killed run continues where it stopped and another run that needs the same
answer reads it.  Lines are only ever appended; a line cut short by a crash is set aside.

Why lines of JSON: a kill costs at most the line being written, and anything reads them.  Parquet
is smaller but is written in blocks, which a kill loses; SQLite pays for each answer with a
transaction.  What 1.2 million answers take: ``python -m hsd_utils.bench store``.

    with Store.open(engine.identity) as store:
        answers = store.collect(engine, requests)
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hsd_utils import paths
from hsd_utils.engines import UNANSWERED, Answer, Engine, Request

log = logging.getLogger(__name__)

# A post that was being answered when the process died is asked among others so many times, then
# alone so many times; if the process died each time, it counts as failed until .asked is deleted.
AMONG_OTHERS, ALONE = 2, 2


class Store(AbstractContextManager):
    """The answers of one engine identity.  Only one process may have it open.

    An index of keys to file offsets is kept in memory (some 150 bytes an answer), answers stay on
    disk.  Raises RuntimeError when another process holds the file.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(path.with_suffix(".lock"))
        self.owner = path.with_suffix(".pid")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            holder = self.owner.read_text() if self.owner.exists() else "unknown"
            raise RuntimeError(
                f"{path.name} is in use by process {holder}: wait for it or stop it, then rerun"
            ) from None
        self.owner.write_text(str(os.getpid()))
        self.offsets: dict[str, int] = {}
        # Appending goes past Python's buffers: what was written is written, whatever kills us.
        self.output = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        self.input = open(path, "rb")
        self._index()
        self.asked, self.died = path.with_suffix(".asked"), False  # keys being answered
        self.deaths = Counter(self.asked.read_text().split() if self.asked.exists() else [])
        self.begun: set[str] = set()  # keys asked since

    @classmethod
    def open(cls, identity: dict[str, Any]) -> "Store":
        """The store of an engine's ``identity``, created with a header line that spells it out."""
        digest = _digest(json.dumps(identity, sort_keys=True))
        name = str(identity["model"]).split("/")[-1]
        store = cls(paths.cache() / "answers" / f"{name}-{identity['engine']}-{digest[:8]}.jsonl")
        try:
            if store.path.stat().st_size == 0:
                store._append({"identity": identity})
        except OSError:
            store.close()
            raise
        return store

    def _index(self) -> None:
        damaged, offset, line = 0, 0, b"\n"
        for line in self.input:
            record = {}
            with suppress(ValueError, TypeError):  # cut short, or no object
                record = {**json.loads(line)} if line.endswith(b"\n") else {}
            if "key" in record:
                self.offsets[record["key"]] = offset
            else:
                damaged += "identity" not in record
            offset += len(line)
        if damaged:
            log.warning("%s: %d damaged line(s) skipped; asked for again", self.path.name, damaged)
        if not line.endswith(b"\n"):  # a crash in mid-line: end it, so that the next is whole
            os.write(self.output, b"\n")

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if not self.input.closed:
            os.fsync(self.output)
            os.close(self.output)
            self.input.close()
            if not self.died:  # what was begun did no harm
                most, known = AMONG_OTHERS + ALONE, self.begun | self.offsets.keys()
                left = [k for k, n in self.deaths.items() if n >= most or k not in known]
                self.asked.unlink(missing_ok=True)
                if left:
                    self.asked.write_text("".join(f"{k}\n" * self.deaths[k] for k in left))
            self.owner.unlink(missing_ok=True)
            self.lock.release()

    def get(self, request: Request) -> Answer | None:
        """The stored answer to ``request``, or None."""
        offset = self.offsets.get(key(request))
        return None if offset is None else replace(self._at(offset), key=request.key)

    def __iter__(self) -> Iterator[Answer]:
        """All answers, each with the ``key`` it is stored under."""
        return map(self._at, list(self.offsets.values()))

    def _at(self, offset: int) -> Answer:
        self.input.seek(offset)
        return Answer(**json.loads(self.input.readline()))

    def put(self, request: Request, answer: Answer) -> None:
        self.adopt(replace(answer, key=key(request)))

    def adopt(self, answer: Answer) -> None:
        """Store an answer under the key that it comes with, that of another store's."""
        self.offsets[answer.key] = self._append(asdict(answer))

    def _append(self, record: dict) -> int:
        offset = os.fstat(self.output).st_size
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            written = 0
            while written < len(line):  # a full disk can take a part
                written += os.write(self.output, line[written:])
        except OSError as error:
            os.ftruncate(self.output, offset)
            advice = "free some space and rerun; answers stored so far are kept"
            what = f"could not store an answer ({error.strerror}): {advice}"
            raise OSError(error.errno, what, str(self.path)) from error
        return offset

    def answers(self, engine: Engine, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers to all requests, stored ones first; new ones are stored as they arrive.

        Two requests that ask the same thing are asked once.
        """
        missing: dict[str, Request] = {}
        twins: dict[str, list[Request]] = {}
        for request in requests:
            shape = key(request)
            if shape in self.offsets:
                yield replace(self._at(self.offsets[shape]), key=request.key)
            elif shape in missing:
                twins.setdefault(missing[shape].key, []).append(request)
            else:
                missing[shape] = request
        asked = {request.key: request for request in missing.values()}
        for answer in self._careful(engine, missing):
            if answer.finish not in UNANSWERED:
                self.put(asked[answer.key], answer)
            yield answer
            for twin in twins.get(answer.key, []):
                yield replace(answer, key=twin.key, seconds=0.0)

    def _careful(self, engine: Engine, missing: dict[str, Request]) -> Iterator[Answer]:
        """The engine's answers, with posts that may have killed it alone and last, or not at all.

        It is known what an engine was at when it died only if it takes requests as it goes.
        """
        if not engine.streams:
            yield from engine(missing.values())
            return
        suspects = {k: r for k, r in missing.items() if self.deaths[k] >= AMONG_OTHERS}
        yield from self._noted(engine, {k: r for k, r in missing.items() if k not in suspects})
        for shape, request in suspects.items():
            if self.deaths[shape] < AMONG_OTHERS + ALONE:
                yield from self._noted(engine, {shape: request})
                continue
            log.warning("%s: left out, it ended the process several times", request.key)
            yield Answer(request.key, "", 0, 0, 0.0, "failed")

    def _noted(self, engine: Engine, requests: dict[str, Request]) -> Iterator[Answer]:
        """The engine's answers, each request on record from when it is taken."""

        def taken() -> Iterator[Request]:
            with open(self.asked, "ab", buffering=0) as record:
                for shape, request in requests.items():
                    with suppress(OSError):  # a full disk is said where an answer is lost
                        record.write(f"{shape}\n".encode())
                    self.begun.add(shape)
                    yield request

        try:
            yield from engine(taken())
        except Exception:
            self.died = True  # the engine, though not the process
            raise

    def collect(self, engine: Engine, requests: Iterable[Request]) -> dict[str, Answer]:
        """The same as a dict from request key to answer, with a progress bar.

        Raises ValueError when two requests share a key.
        """
        from tqdm import tqdm  # text, which the pipeline passes on to the terminal

        requests = list(requests)
        if len({request.key for request in requests}) < len(requests):
            raise ValueError("two requests share a key: give each its own")
        about = {"total": len(requests), "mininterval": 5, "desc": self.path.stem}
        return {a.key: a for a in tqdm(self.answers(engine, requests), **about)}


def key(request: Request) -> str:
    """What the answer to a request is stored under: a hash of everything that shapes it."""
    return _digest(request.shape())


def identities() -> Iterator[dict[str, Any]]:
    """The identities of all engines that have a store under ``HSD_CACHE``."""
    for path in sorted((paths.cache() / "answers").glob("*.jsonl")):
        with open(path, "rb") as lines, suppress(ValueError, KeyError):
            yield json.loads(lines.readline())["identity"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
