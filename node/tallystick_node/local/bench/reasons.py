"""Why a target is missed, by the row's name: for docs/performance.md. A reason is no excuse: targets stay."""

from typing import Final

REASONS: Final[dict[str, str]] = {}
