"""What others answered, read without believing anything of it."""

from collections.abc import Mapping
from typing import Any

import orjson


def object_in(body: bytes) -> Mapping[str, Any]:
    """The JSON object that it is; an empty one where it is none, which lacks whatever is looked for."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}
