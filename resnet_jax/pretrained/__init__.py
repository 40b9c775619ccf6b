"""Pretrained networks: from a folder, a file or the Hugging Face Hub, and back to a folder.

The folders are timm's: `model.safetensors`, `config.json`, and a model card in `README.md`.
"""

from .card import ModelCard
from .loading import load_pretrained
from .network import Pretrained, PretrainedNNX
from .saving import save_pretrained
from .timm_form import is_in_timm

__all__ = [
    "ModelCard",
    "Pretrained",
    "PretrainedNNX",
    "is_in_timm",
    "load_pretrained",
    "save_pretrained",
]
