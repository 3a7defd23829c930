"""What a judge's engine reads, taken apart again: the request and both answers. Pure."""

from typing import Final

_MARKS: Final = ("Q>", "A>", "B>")


def quotations(prompt: str) -> tuple[str, str, str]:
    """The request, answer A and answer B, by the marks that `protocol.judging` puts before their lines."""
    found: dict[str, list[str]] = {mark: [] for mark in _MARKS}
    for line in prompt.splitlines():
        if line[:2] in found:
            found[line[:2]].append(line[3:])
    question, a, b = ("\n".join(lines) for lines in found.values())
    return question, a, b
