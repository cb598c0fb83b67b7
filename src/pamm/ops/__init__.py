"""The selective state-space scan in one and in many directions. Depends on torch only."""

from pamm.ops.plain import is_plain
from pamm.ops.scan import (
    available_backends,
    backend_problem,
    multi_directional_scan,
    selective_scan,
)

__all__ = [
    "available_backends",
    "backend_problem",
    "is_plain",
    "multi_directional_scan",
    "selective_scan",
]
