"""Files of JSON that somebody else may have written. What is in them is for the reader to judge."""

from pathlib import Path

import orjson

from tallystick.protocol.errors import MalformedMessage


def read_json_file(path: Path) -> object:
    """Raises MalformedMessage where it cannot be read, or is no JSON."""
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise MalformedMessage(f"{path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise MalformedMessage(f"{path} is no JSON: {error}.") from error
