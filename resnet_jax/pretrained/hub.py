"""Files of a repository of the Hugging Face Hub, through its library, cache and offline mode."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..storage import first_line


def hub_files(
    repository: str, revision: str | None, names: Sequence[str]
) -> tuple[Callable[[str], Path | None], str]:
    """Return what finds a file of a repository, and the repository's name with its commit.

    `huggingface_hub` fetches the files into its cache (`HF_HOME`, `HF_HUB_CACHE`), from there it
    reads them again. Its `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_TOKEN` hold here as well; it reads
    them when it is first imported.

    Args:
        repository: `owner/name`.
        revision: a branch, a tag or a commit; None is the main branch.
        names: the files to copy by hand, for the message where the Hub cannot be reached.

    Raises:
        ImportError: if `huggingface_hub` is not installed.
        OSError: if the Hub cannot be reached, refuses, or has no such repository.
    """
    whole = f"{repository}@{revision}" if revision else repository
    by_hand = (
        f"copy {names[0]} and {names[1]} of https://huggingface.co/{repository} into a folder, "
        "and give that folder as `source`"
    )
    try:
        hub = importlib.import_module("huggingface_hub")
        errors = importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise ImportError(
            f"`source` (={whole}) needs huggingface_hub (pip install huggingface_hub); or {by_hand}"
        ) from error

    def find(name: str, revision: str | None = revision) -> Path | None:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision))
        except errors.RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"`source` (={whole}) is no repository of the Hub that you may read"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise FileNotFoundError(f"`source` (={whole}) has no such revision") from error
        except errors.LocalEntryNotFoundError as error:
            raise OSError(
                f"`source` (={whole}) is not in the cache, and the Hub cannot be reached; {by_hand}"
            ) from error
        except errors.EntryNotFoundError:
            return None
        except Exception as error:  # the network's, the disk's, the Hub's
            raise OSError(
                f"`source` (={whole}) cannot be fetched: {first_line(error)}; or {by_hand}"
            ) from error

    config = find(names[0])
    # A snapshot has the name of its commit; all files are of one.
    commit = revision if config is None else config.parent.name
    name = f"hf-hub:{repository}@{commit}" if commit else f"hf-hub:{repository}"
    return lambda name: find(name, commit), name
