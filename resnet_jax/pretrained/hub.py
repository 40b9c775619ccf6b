"""Files of a repository of the Hugging Face Hub, through its library, cache and offline mode."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..storage import first_line
from .weights import CONFIG, SINGLE


class HubFiles:
    """The files of one commit of a repository.

    `huggingface_hub` fetches them into its cache (`HF_HOME`, `HF_HUB_CACHE`) and reads them there
    from then on. Its `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_TOKEN` hold here as well; it reads
    them when it is first imported.

    Args:
        repository: `owner/name`.
        revision: a branch, a tag or a commit; None is the main branch.

    Attributes:
        config: the `config.json`; None if the repository has none.
        unreached: why a file could not be looked for; None if all could.

    Raises:
        ImportError: if `huggingface_hub` is not installed.
        OSError: if the Hub cannot be reached, refuses, or has no such repository.
    """

    def __init__(self, repository: str, revision: str | None) -> None:
        self._repository = repository
        self._revision = revision
        self._whole = f"{repository}@{revision}" if revision else repository
        self._by_hand = (
            f"copy {CONFIG} and {SINGLE[0]} of https://huggingface.co/{repository} into a folder, "
            "and give that folder as `source`"
        )
        try:
            self._hub = importlib.import_module("huggingface_hub")
            self._errors = importlib.import_module("huggingface_hub.errors")
        except ImportError as error:
            raise ImportError(
                f"`source` (={self._whole}) needs huggingface_hub (pip install huggingface_hub); "
                f"or {self._by_hand}"
            ) from error
        self.unreached: OSError | None = None
        self.config = self.find(CONFIG)
        if self.unreached is not None:
            raise self.unreached
        if self.config is not None:
            # A snapshot has the name of its commit; all files are to be of one.
            self._revision = self.config.parent.name

    @property
    def name(self) -> str:
        """The repository and its commit."""
        commit = f"@{self._revision}" if self._revision else ""
        return f"hf-hub:{self._repository}{commit}"

    def find(self, name: str) -> Path | None:
        """Return the path of a file in the cache; None if there is no such file.

        A file that is not in the cache and cannot be looked for counts as none, and `unreached`
        says so.

        Args:
            name: the file's name in the repository.

        Raises:
            OSError: if the Hub refuses, or the file cannot be fetched.
        """
        try:
            found = self._hub.hf_hub_download(self._repository, name, revision=self._revision)
        except self._errors.RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"`source` (={self._whole}) is no repository of the Hub that you may read"
            ) from error
        except self._errors.RevisionNotFoundError as error:
            raise FileNotFoundError(f"`source` (={self._whole}) has no such revision") from error
        except self._errors.LocalEntryNotFoundError:
            self.unreached = OSError(
                f"`source` (={self._whole}) is not in the cache, and the Hub cannot be reached; "
                f"{self._by_hand}"
            )
            return None
        except self._errors.EntryNotFoundError:
            return None
        except Exception as error:  # of the network, the disk, or the Hub
            raise OSError(
                f"`source` (={self._whole}) cannot be fetched: {first_line(error)}; or "
                f"{self._by_hand}"
            ) from error
        return Path(found)
