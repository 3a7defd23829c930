"""The tokenizers that a payer names, read from their folders; nothing is imported where it names none."""

from collections.abc import Mapping
from pathlib import Path

from tallystick.client.errors import TokenizerUnavailable
from tallystick.ports import Recount


def load_tokenizers(folders: Mapping[str, Path | str]) -> Mapping[str, Recount]:
    """By model.

    Raises
    ------
    TokenizerUnavailable :
        Packages are missing, or a folder holds no tokenizer that can be read.
    """
    return {model: _load(model, Path(folder)) for model, folder in folders.items()}


def _load(model: str, folder: Path) -> Recount:
    try:
        from tallystick.tokenizer import UnsupportedModel, Vocabulary
    except ModuleNotFoundError as error:
        raise TokenizerUnavailable(
            f"Recounting needs the package {error.name}: pip install 'tallystick[tokenizer]'.",
            required="tallystick[tokenizer]",
        ) from error
    try:
        return Vocabulary(folder)
    except (UnsupportedModel, OSError, ValueError, LookupError) as error:
        raise TokenizerUnavailable(f"The tokenizer of {model!r} in {folder}: {error}.") from error
