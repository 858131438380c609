"""Where the public data sets are: on disk, or downloaded once and checked.

A file is looked for under ``HSD_DATA_DIR`` first and taken as it is (its SHA-256 goes into the
counts of the reader), then fetched by pooch from a fixed commit into the cache and refused
unless its SHA-256 is the one below.  ``HF_HUB_OFFLINE=1`` keeps everything off the network.

The commits are ones at which the file has these bytes.  HateXplain's hash is the one that the
Hugging Face ``datasets`` library recorded for it.  A zip that GitHub makes on demand has no
promised bytes, so Stormfront is checked by what is inside.

    python -c "from hsd_utils.readers.files import find; print(find('davidson'))"
"""

import hashlib
import zipfile
from pathlib import Path

from hsd_utils import paths

_PAPER = "palomapiot/distil-metahate/acdce73d2e46a138a301b773f6b7a863d9cf8b53/data"
_STORMFRONT_ZIP = (
    "Vicomtech/hate-speech-dataset/archive/b802137e8314c38a8d4faa965f9908d6c8e7a84d.zip"
)
# name: (path under the data folder, owner/repository/commit/path, SHA-256)
FILES = {
    "davidson": (
        "davidson/labeled_data.csv",
        "t-davidson/hate-speech-and-offensive-language/6a1e3f02522963d820e302c3ad48b189552c143b/"
        "data/labeled_data.csv",
        "fcb8bc7c68120ae4af04a5b9acd58585513ede11e1548ebf36a5c2040b6f6281",
    ),
    "hatexplain": (
        "hatexplain/dataset.json",
        "hate-alert/HateXplain/01d742279dac941981f53806154481c0e15ee686/Data/dataset.json",
        "63bb3340fee0ec469b09690d04cb68f7c187787dd8b83807f071892c084967fb",
    ),
    "ethos": (
        "ethos/Ethos_Dataset_Binary.csv",
        "intelligence-csd-auth-gr/Ethos-Hate-Speech-Dataset/"
        "705258e118ce9611ebbd5ab2a4841b0066547293/ethos/ethos_data/Ethos_Dataset_Binary.csv",
        "0cd0050c2592afcb5eca5876df485ca15cda9d7d16fe32c269857260fd10d96c",
    ),
    "hatecheck": (
        "hatecheck/test_suite_cases.csv",
        "paul-rottger/hatecheck-data/d84302298ceeb34f4b0dde2d8a1f4932c2caa612/test_suite_cases.csv",
        "ecf0dc1e93fccc90b6f880e632b19e635c0f0a68b3157915a9e20b6938f121cf",
    ),
    "metahate_sample": (
        "metahate/metahate_sample.tsv",
        "palomapiot/metahate/868326ed312ed28fdfaadc58da44e7bd5231ed7a/data/metahate_sample.tsv",
        "0451a00a64c104a598e3e39e4bdcd89362e653ad4b2cc2ffe83ac7f334942b2b",
    ),
    "paper_distil": (
        "metahate/MiniMetaHateDistil.tsv",
        f"{_PAPER}/MiniMetaHateDistil.tsv",
        "ab08643057838d7175b5259117aa9def8e7db097e6719279ae0ab35fd2cd9779",
    ),
    "paper_eval": (
        "metahate/MiniMetaHateEval.tsv",
        f"{_PAPER}/MiniMetaHateEval.tsv",
        "c6778ad26a9c9ac8025430f995f32d33247631914f32f3a80122066041675568",
    ),
    "stormfront": ("stormfront/hate-speech-dataset.zip", _STORMFRONT_ZIP, None),
}
STORMFRONT_CONTENTS = "1039c839ea7a38a77049e49e1b35fc492a8eb1e81ccefcf32d65371567249877"
ANNOTATIONS = "annotations_metadata.csv"


def find(name: str) -> Path:
    """Path of a public file, downloaded when it is nowhere on disk.

    Raises FileNotFoundError, naming the file, its address and where to put it, when there is
    neither file nor network, or when what arrived has the wrong SHA-256.
    """
    relative, _, digest = FILES[name]
    cached = paths.cache() / "data" / relative
    if (local := paths.public(relative)) != cached:
        return local
    if paths.offline():  # pooch would replace a damaged file
        if cached.is_file() and digest in (None, paths.sha256(cached)):
            return cached
        damaged = "the copy in the cache is damaged, and " if cached.is_file() else ""
        raise _not_found(name, f"{damaged}HF_HUB_OFFLINE is set")

    import pooch  # here, since they bring in the network libraries
    import requests

    try:
        pooch.retrieve(
            _address(name),
            known_hash=f"sha256:{digest}" if digest else None,
            fname=cached.name,
            path=cached.parent,
            downloader=pooch.HTTPDownloader(timeout=(5, 30)),
        )
    except (OSError, ValueError) as error:
        reason = "not the published bytes"
        if isinstance(error, OSError):
            offline = isinstance(error, requests.RequestException)
            reason = "no network" if offline else f"the cache: {error.strerror}"
        raise _not_found(name, f"{reason}: {type(error).__name__}") from error
    return cached


def stormfront() -> tuple[Path | zipfile.Path, Path]:
    """The data set's top folder, on disk or inside a zip, and the path it was found at.

    A folder under ``HSD_DATA_DIR``/stormfront comes before a zip.  Raises FileNotFoundError as
    ``find`` does, and when a downloaded zip does not hold the published texts.
    """
    folder = paths.data_dir() / "stormfront" if paths.data_dir() else None
    for place in [folder, folder / "hate-speech-dataset"] if folder else []:
        if (place / ANNOTATIONS).is_file():
            return place, place
    path = find("stormfront")
    tops = []
    if zipfile.is_zipfile(path):
        top = zipfile.Path(path)
        tops = [place for place in (top, *top.iterdir()) if (place / ANNOTATIONS).is_file()]
    if paths.cache() in path.parents and (not tops or contents(tops[0]) != STORMFRONT_CONTENTS):
        path.unlink()
        raise _not_found("stormfront", "what arrived is not the published data set")
    if not tops:
        raise FileNotFoundError(f"{path} is not a zip with {ANNOTATIONS} in it: get it again")
    return tops[0], path


def contents(top: Path | zipfile.Path) -> str:
    """SHA-256 over the annotations and over names and bytes of the texts, in name order."""
    total = hashlib.sha256((top / ANNOTATIONS).read_bytes())
    for text in sorted((top / "all_files").iterdir(), key=lambda file: file.name):
        total.update(text.name.encode() + b"\0" + text.read_bytes() + b"\0")
    return total.hexdigest()


def _address(name: str) -> str:
    host = "github.com" if name == "stormfront" else "raw.githubusercontent.com"
    return f"https://{host}/{FILES[name][1]}"


def _not_found(name: str, reason: str) -> FileNotFoundError:
    relative = FILES[name][0]
    return FileNotFoundError(
        f"the data set {name!r} is not on disk and was not downloaded ({reason}). Get "
        f"{_address(name)} and save it as {paths.cache() / 'data' / relative}, or as {relative} "
        "in a folder named by HSD_DATA_DIR"
    )
