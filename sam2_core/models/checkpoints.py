"""Networks from files."""

from __future__ import annotations

from sam2_core.models.config import SAM2Config
from sam2_core.models.sam2 import SAM2


def build(config: SAM2Config) -> SAM2:
    """A network with random weights, in training mode."""
    return SAM2(config)
