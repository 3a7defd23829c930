"""The look is readable: WCAG AA contrast of every pair of colours that stand on one another."""

import re
from importlib.resources import files

import pytest

CSS = (files("tallystick_node.explorer") / "static" / "app.css").read_text()
TEXT = 4.5
"""Of text; AA."""
PAIRS = [
    *((text, ground) for text in ("ink", "soft", "accent") for ground in ("paper", "raised", "faint")),
    *((text, ground) for text in ("good", "bad", "warn") for ground in ("paper", "raised", f"{text}-faint")),
    ("ink", "accent-faint"),
    ("paper", "accent"),
]


def themes() -> list[dict[str, str]]:
    """The light one, the system's dark one, the visitor's dark one."""
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", CSS)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", body)) for body in blocks]
    return [colours for colours in found if "ink" in colours]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", themes())
def test_text_can_be_read(theme: dict[str, str]) -> None:
    for text, ground in PAIRS:
        assert contrast(theme[text], theme[ground]) >= TEXT, (text, ground)


def test_the_visitor_s_dark_theme_is_the_system_s() -> None:
    light, system, chosen = themes()
    assert system == chosen
    assert light.keys() == chosen.keys()


def test_black_on_white_is_the_most_there_is() -> None:
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
