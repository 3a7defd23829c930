"""What a caller asks for by name, as `--only` takes it."""

from collections.abc import Collection, Sequence


class NameUnknown(Exception):
    def __init__(self, noun: str, actual: str, known: Collection[str]):
        super().__init__(f"There is no {noun} {actual!r}. There are {', '.join(known)}.")


def require(noun: str, name: str, known: Collection[str]) -> None:
    """Raises NameUnknown."""
    if name not in known:
        raise NameUnknown(noun, name, known)


def named(noun: str, only: Collection[str], known: Collection[str]) -> Sequence[str]:
    """Those of them, in the order in which they are known; all where none are named. Raises NameUnknown."""
    for name in only:
        require(noun, name, known)
    return [name for name in known if not only or name in only]
