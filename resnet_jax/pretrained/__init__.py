"""Pretrained networks: from a folder, a file or the Hugging Face Hub, and back to a folder.

The folders are timm's: `model.safetensors`, `config.json`, and a model card in `README.md`.
"""

from .loading import load_pretrained
from .network import Pretrained

__all__ = ["Pretrained", "load_pretrained"]
