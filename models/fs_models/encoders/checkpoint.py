"""A model as Hugging Face keeps it: a folder, or a repository of the hub; its files, and its weights in full."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import nn

from fs_models.encoders.adapter import FOLDER_REVISION, LoadRequest
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.hf_processors import named
from fs_models.encoders.preprocessing import Preprocessing
from fs_runtime.bundle.files import digest
from fs_runtime.errors import InputError

T = TypeVar("T")

CONFIG = "config.json"
OPEN_CLIP = "open_clip_config.json"
_PREPROCESS = ("preprocessor_config.json", "processor_config.json")
_WEIGHTS = (".safetensors", ".bin", ".onnx")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def split_part(model: str) -> tuple[str, str]:
    """The folder or id, and the part of the model after ``#``; empty: what the family gives by default."""
    place, _, part = model.rpartition("#")
    return (model, "") if not place or Path(model).is_dir() else (place, part)


def could_be_checkpoint(model: str) -> bool:
    """Whether ``model`` is a folder, or could be the id of a repository."""
    place, _ = split_part(model)
    return Path(place).is_dir() or _HUB_ID.fullmatch(place) is not None


@dataclass(frozen=True)
class Checkpoint:
    """What a user asks for, and its configuration; weights are read when asked for.

    Attributes:
        request: the user's.
        config: config.json; empty where there is none.
    """

    request: LoadRequest
    config: Mapping[str, Any]

    @classmethod
    def open(cls, request: LoadRequest) -> Self:
        """Read config.json.

        Raises:
            InputError: it is damaged, the repository cannot be reached, or the folder holds other weights than asked.
        """
        unread = cls(request, {})
        _ = unread.revision
        return cls(request, unread.json(CONFIG) or {})

    @property
    def model(self) -> str:
        """The id or folder."""
        return split_part(self.request.model)[0]

    @property
    def model_type(self) -> str:
        """What transformers calls the architecture; empty where config.json does not say."""
        return str(self.config.get("model_type", ""))

    @cached_property
    def revision(self) -> str | None:
        """A folder: a hash of its weights, as it has no commit. A repository: the commit that its files are of.

        Raises:
            InputError: the request names the hash of other weights than the folder's.
        """
        folder = Path(self.model)
        if not folder.is_dir():
            from transformers.utils.hub import extract_commit_hash

            paths = [path for name in (CONFIG, OPEN_CLIP) if (path := self.file(name)) is not None]
            found: str | None = extract_commit_hash(str(paths[0]), None) if paths else None
            return found
        weights = sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)
        found = f"{FOLDER_REVISION}{digest(weights)}"
        if self.request.revision not in (None, found):
            raise InputError(
                f"{folder} holds weights of {found}, not {self.request.revision}: name the folder of those weights"
            )
        return found

    def file(self, name: str) -> Path | None:
        """A file of the model, from the folder, the cache or the hub; None where the model has no such file."""
        from transformers.utils.hub import cached_file

        found = explained(
            self.model,
            lambda: cached_file(
                self.model, name, revision=self.hub_revision, _raise_exceptions_for_missing_entries=False
            ),
        )
        return None if found is None else Path(found)

    def json(self, name: str) -> dict[str, Any] | None:
        """A file that holds a JSON object; None where the model has no such file."""
        path = self.file(name)
        if path is None:
            return None
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.model}/{name} is not valid JSON ({error}): restore the file") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.model}/{name} is not a JSON object: restore the file")
        return content

    def processor(self) -> tuple[dict[str, Any], str]:
        """The settings of the image processor, and what an error message calls their file.

        Raises:
            InputError: the model has none.
        """
        for name in _PREPROCESS:
            content = self.json(name)
            if content is not None and (name == _PREPROCESS[0] or "image_processor" in content):
                return named(content.get("image_processor", content), self.config), f"{self.model}/{name}"
        raise InputError(
            f"{self.model} has no {_PREPROCESS[0]}: an image encoder's folder needs it; save its image processor there "
            "with save_pretrained"
        )

    def preprocessing(self) -> Preprocessing:
        """How an image becomes pixels, as the model's own file says."""
        return read_preprocess(*self.processor())

    def configuration(self, loader: Any) -> Any:
        """The configuration as transformers reads it."""
        arguments = {"revision": self.hub_revision, "trust_remote_code": self.request.trust_remote_code}
        return explained(self.model, lambda: loader.from_pretrained(self.model, **arguments))

    def config_files(self) -> tuple[Path, ...]:
        """The configuration files that the model has, for its bundle."""
        found = (self.file(name) for name in (CONFIG, *_PREPROCESS))
        return tuple(path for path in found if path is not None)

    def pretrained(self, loader: Any, *, spare: Callable[[str], bool] = lambda _: False, **arguments: Any) -> nn.Module:
        """A transformers model with all its weights from the checkpoint, in fp32 and evaluation mode.

        Args:
            loader: class with ``from_pretrained``.
            spare: names of weights that nothing will use, which may be missing.
            **arguments: for ``from_pretrained``.

        Raises:
            InputError: weights are missing or do not fit, or Python code of the model would have to run.
        """
        if self.config.get("auto_map") and not self.request.trust_remote_code:
            raise InputError(f"{self.model} needs Python code from its folder: read it, then give --trust-remote-code")
        settings: dict[str, Any] = {
            "revision": self.hub_revision,
            "trust_remote_code": self.request.trust_remote_code,
            "use_safetensors": None if self.request.trust_pickle else True,
            "dtype": torch.float32,
            "output_loading_info": True,
        }
        network, report = explained(self.model, lambda: loader.from_pretrained(self.model, **settings, **arguments))
        unfit = {str(entry[0]) for entry in report["mismatched_keys"]}
        absent = sorted(name for name in {*report["missing_keys"], *unfit} if not spare(name))
        if absent and all("pooler" in name for name in absent):
            raise InputError(f"{self.model} has no trained pooler, so no pooled feature: use --tap cls or --tap tokens")
        if absent:
            raise InputError(f"{self.model} lacks the weights {', '.join(absent[:3])}...: use a complete checkpoint")
        loaded: nn.Module = network.eval()
        return loaded

    @property
    def hub_revision(self) -> str | None:
        """What transformers is to be told: a folder has no revision of the hub's."""
        return None if Path(self.model).is_dir() else self.request.revision


def explained(model: str, load: Callable[[], T]) -> T:
    """Run a loader of transformers silently; its errors become one sentence."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    talk: Any = logging  # its functions carry no types
    verbosity = talk.get_verbosity()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        return load()
    except (OSError, ValueError, RuntimeError, SafetensorError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        if "model.safetensors" in reason:
            reason += " (weights that are pickles, pytorch_model.bin, need --trust-pickle)"
        raise InputError(f"{model} cannot be loaded: {reason}") from error
    finally:
        talk.set_verbosity(verbosity)
        talk.enable_progress_bar()
