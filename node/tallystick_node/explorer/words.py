"""How values are written for people: amounts with their unit, times in UTC, hashes short with the whole
beside them, and a stranger's words so that they are read and never run.
"""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

from tallystick.chain.market import Asset
from tallystick.protocol.units import MTOK, to_hex

DECIMALS: Final = 6
"""At most so many are written; the whole amount is in the title."""
WEI_DECIMALS: Final = 18
CLIP: Final = 48
"""Characters of a stranger's words."""
_LAST_YEAR: Final = 253_402_300_799


_SPACE: Final = Markup(" ")


def tag(name: str, content: str, **attributes: str) -> Markup:
    """An element with this text in it, escaped as its attributes are. Of `class_` the line is left out."""
    written = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{escape(content)}</{name}>")


def decimal(atoms: int, decimals: int, *, least: int = 2) -> str:
    """`1,234.50`: so many decimals at least, six at most, rounded down; what is smaller is `<0.000001`."""
    whole, rest = divmod(atoms, 10**decimals)
    fraction = f"{rest:0{decimals}d}"[:DECIMALS] if decimals else ""
    if not whole and rest and not fraction.strip("0"):
        return f"<0.{'0' * (DECIMALS - 1)}1"
    fraction = fraction.rstrip("0").ljust(min(least, decimals), "0")
    return f"{whole:,}.{fraction}" if fraction else f"{whole:,}"


def utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(seconds: int) -> str:
    return utc(seconds)[:10]


def time_(seconds: int | None) -> Markup | str:
    """A moment, in UTC."""
    if not seconds:
        return "–"
    if seconds > _LAST_YEAR:
        return tag("span", "never", title=f"unix {seconds}")
    text = utc(seconds)
    return tag("time", text, datetime=_iso(text), title=f"{text} UTC, unix {seconds}")


def date(seconds: int) -> Markup | str:
    """A moment of which the day is enough; the rest is in the title."""
    if seconds > _LAST_YEAR:
        return time_(seconds)
    text = utc(seconds)
    return tag("time", text[:10], datetime=_iso(text), title=f"{text} UTC")


def moment(milliseconds: int) -> Markup | str:
    """A receipt's time, to the millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    if seconds > _LAST_YEAR:
        return str(milliseconds)
    text = f"{utc(seconds)}.{rest:03d}"
    return tag("time", text, datetime=_iso(text))


def _iso(text: str) -> str:
    return f"{text.replace(' ', 'T')}Z"


def span(seconds: int) -> str:
    """`12 s`, `3 min`, `5 h`, `2 days`: rounded down."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def short(value: bytes) -> str:
    """`0x12345678…abcd`."""
    text = to_hex(value)
    return f"{text[:8]}…{text[-4:]}" if len(text) > 14 else text


def hash_(value: bytes | None, path: str = "", whole: bool = False) -> Markup | str:
    """A hash, an id or an address, linked to `path` where there is one: `{{ h|hash("/tx/") }}`."""
    if value is None:
        return "–"
    text, shown = to_hex(value), to_hex(value) if whole else short(value)
    if not path:
        return tag("span", shown, class_="hash", title=text)
    return tag("a", shown, class_="hash", href=f"{path}{text}", title=text)


def words(text: str, clip: int = CLIP) -> Markup:
    """A stranger's words: escaped, on one line, cut, and not able to turn the direction of what follows."""
    return tag("bdi", plain(text, clip), class_="words", title=visible(text))


def plain(text: str, clip: int = CLIP) -> str:
    """The same where no markup can be: in a page's title."""
    shown = visible(text)
    return (shown if len(shown) <= clip else f"{shown[: clip - 1]}…") or "(empty)"


def visible(text: str) -> str:
    """With what cannot be seen, or turns the direction, written out."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    turns = unicodedata.bidirectional(character) in {
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    }
    hidden = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    return f"\\u{ord(character):04x}" if turns or hidden else character


def part(text: str) -> str:
    """As one segment of a path: `/model/{{ name|part }}`."""
    return quote(text.encode("utf-8", "replace"), safe="")


def given(value: bytes) -> bytes | None:
    """None of zeros, which say that there is none."""
    return value if any(value) else None


def number(value: int) -> str:
    return f"{value:,}"


def percent(part_: int, whole: int) -> str:
    """Rounded down to a tenth; `–` of nothing."""
    return f"{part_ * 1000 // whole / 10:.1f} %" if whole else "–"


def _amount(value: int, unit: str, text: str) -> Markup:
    return tag("span", text, class_="amount", title=f"{value:,} {unit}")


def _with_unit(atoms: int, text: str, asset: Asset) -> Markup:
    return _amount(atoms, "atoms", text) + _SPACE + tag("span", asset.symbol, class_="unit")


def filters(asset: Asset) -> Mapping[str, Any]:
    """What templates call them."""

    def atoms(value: int | None, unit: bool = True) -> Markup | str:
        """Without the unit it is for a column, where all have as many decimals."""
        if value is None:
            return "–"
        if unit:
            return _with_unit(value, decimal(value, asset.decimals), asset)
        return _amount(value, "atoms", decimal(value, asset.decimals, least=DECIMALS))

    def headline(value: int) -> Markup:
        """For a figure that is read at a glance: of what is large two decimals are enough."""
        rest = 10 ** max(0, asset.decimals - 2) if value >= 100 * 10**asset.decimals else 1
        return _with_unit(value, decimal(value // rest * rest, asset.decimals), asset)

    def wei(value: int | None) -> Markup | str:
        if value is None:
            return "–"
        return _amount(value, "wei", decimal(value, WEI_DECIMALS))

    return {
        "atoms": atoms,
        "headline": headline,
        "wei": wei,
        "time": time_,
        "day": day,
        "date": date,
        "moment": moment,
        "span": span,
        "short": short,
        "hash": hash_,
        "hex": to_hex,
        "words": words,
        "plain": plain,
        "part": part,
        "given": given,
        "number": number,
        "percent": percent,
        "millionths": lambda value: f"{value // MTOK:,}.{value % MTOK:06d}",
    }
