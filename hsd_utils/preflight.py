"""What a profile needs, checked in its first seconds: every lack named at once, with its cure.

A profile lists its needs under ``requires``: gpu_gb, memory_gb, disk_gb (of weights and answers,
those of the hub that are there already counted in), hub (repositories that must be reachable, some
gated) and data (files under HSD_DATA_DIR).

    python -m hsd_utils.pipeline paper
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from hsd_utils import paths


def lacking(requires: Mapping[str, Any]) -> list[str]:
    """What is missing on this machine, one sentence each; empty when all is there."""
    return [
        *_gpu(requires.get("gpu_gb", 0)),
        *_memory(requires.get("memory_gb", 0)),
        *_disk(requires.get("disk_gb", 0), requires.get("hub", [])),
        *_hub(requires.get("hub", [])),
        *_data(requires.get("data", [])),
    ]


def _gpu(needed: float) -> list[str]:
    if not needed:
        return []
    import torch

    if not torch.cuda.is_available():
        return [f"GPU: none found; a CUDA GPU with {needed} GB is needed (see environment.yml)"]
    found = torch.cuda.get_device_properties(0).total_memory / 1e9
    return [f"GPU memory: {found:.0f} GB found, {needed} GB needed"] if found < needed else []


def _memory(needed: float) -> list[str]:
    found = psutil.virtual_memory().total / 1e9
    return [f"memory: {found:.0f} GB found, {needed} GB needed"] if found < needed else []


def _disk(needed: float, repositories: list[str]) -> list[str]:
    """Of the place that most goes to: weights of the hub go to its own cache, others to ours."""
    folder, place, there = paths.cache(), "HSD_CACHE", 0
    if repositories:
        from huggingface_hub.constants import HF_HUB_CACHE

        folder, place = Path(HF_HUB_CACHE), "HF_HOME"
        named = [name.rpartition(":") for name in repositories]
        held = [folder / f"{kind or 'model'}s--{n.replace('/', '--')}" for kind, _, n in named]
        there = sum(f.stat().st_size for known in held for f in known.glob("blobs/*"))
    while not folder.exists():
        folder = folder.parent
    free = (shutil.disk_usage(folder).free + there) / 1e9
    lack = f"disk: {free:.0f} GB free, {needed} GB needed; {place} names another place"
    return [lack] if free < needed else []


def _hub(repositories: list[str]) -> list[str]:
    if not repositories:
        return []
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    missing = []
    if not get_token():
        missing.append("Hugging Face token: none; run `hf auth login` or set HF_TOKEN")
    if paths.offline():
        return [*missing, "Hugging Face Hub: HF_HUB_OFFLINE is set; unset it"]
    for name in repositories:
        kind, _, repository = name.rpartition(":")
        try:
            HfApi().auth_check(repository, repo_type=kind or "model")
        except GatedRepoError:
            missing.append(f"access to {repository}: ask for it on its page on the hub")
        except RepositoryNotFoundError:
            missing.append(f"access to {repository}: it is private or gated; log in first")
        except Exception as error:  # whatever the network throws: name it and go on
            missing.append(f"Hugging Face Hub: cannot be reached ({type(error).__name__})")
            break
    return missing


def _data(names: list[str]) -> list[str]:
    folder = paths.data_dir()
    if names and folder is None:
        return [f"data: set HSD_DATA_DIR to the folder that holds {', '.join(names)}"]
    return [
        f"data: {name} is not in HSD_DATA_DIR" for name in names if not (folder / name).exists()
    ]
