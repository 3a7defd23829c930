"""docs/spec.md has the types, bits and limits of the code: who implements it need not read the code."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tallystick.protocol
from tallystick.protocol import expect, hearsay, quote, told
from tallystick.protocol.gossip import BODY_LIMIT
from tallystick.protocol.message import Message
from tallystick.protocol.receipt import Finish
from tallystick.protocol.status import PARAMETERS
from tallystick_node.gateway import quoting
from tallystick_node.network import roster, talk, turns

SPEC = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()


def test_type_strings_are_those_of_the_code() -> None:
    for module in pkgutil.iter_modules(tallystick.protocol.__path__):
        importlib.import_module(f"tallystick.protocol.{module.name}")
    (block,) = re.findall(r"```eip712\n(.*?)```", SPEC, re.S)
    written = re.sub(r"\n +", "", block).splitlines()

    assert len(written) == len(set(written))
    assert set(written) == {kind.TYPE for kind in Message.__subclasses__()}


def test_bits_of_parameters_are_those_of_the_code() -> None:
    (listed,) = re.findall(r"^Parameters: (.*?)\.$", SPEC, re.M | re.S)
    assert re.findall(r"(\d+) `(\w+)`", listed) == [(str(bit), name) for bit, name in enumerate(PARAMETERS)]


def test_finishes_are_those_of_the_code() -> None:
    (listed,) = re.findall(r"a receipt's `finish` \((.*?)\)", SPEC)
    assert listed.split(", ") == [f"{one.value} {one.name.lower().replace('_', ' ')}" for one in Finish]


@pytest.mark.parametrize(
    ("sentence", "figures"),
    [
        (r"A \*body\* has at most ([0-9,]+) bytes", [BODY_LIMIT]),
        ("within ([a-z]+) intervals of its payer's last one, and of one provider the ratings of the ([0-9]+)",
         [hearsay.RATED, hearsay.RATINGS]),
        ("of one provider ([a-z]+) are held, those of accusers in doubt", [hearsay.ACCUSERS]),
        (r"larger of ([0-9]+) s and ⌊1000·n/([0-9]+)⌋ ms",
         [hearsay.INTERVAL_MS // 1_000, hearsay.NETWORK_PER_S]),
        ("at most once an interval, and every ([a-z]+) intervals", [hearsay.QUIET]),
        (r"is \*suspected\* where ([a-z]+) accusers", [hearsay.QUORUM]),
        ("no status came for ([0-9]+) intervals", [hearsay.SILENT]),
        (r"\*gone\* ([0-9]+) s later", [hearsay.GRACE_MS // 1_000]),
        ("while ([a-z]+) accusations of its are refuted, each within ([0-9]+) s",
         [hearsay.DOUBT, hearsay.SOON_MS // 1_000]),
        ("of all senders together one in ([0-9]+) ms, ([0-9]+) at once", [turns.ALL_MS, turns.ALL_BURST]),
        ("two messages a second, ([a-z]+) at once", [turns.BURST]),
        ("After the third body with something forged in it its sender gets 429 for ([0-9]+) s",
         [turns.PAUSE_MS // 1_000]),
        ("its newest ([0-9]+) offers count, and the ([0-9,]+) providers",
         [roster.OFFERS, roster.PROVIDERS]),
        ("A node calls ([a-z]+) peers each second", [talk.FANOUT]),
        (r"until ([a-z]+) peers \(([a-z]+) of a suspicion\)",
         [talk.KNOWN["status"], talk.KNOWN["suspicion"]]),
        ("in ([0-9]+) MiB at most: suspicions", [told.TOLD_LIMIT >> 20]),
        (r"in microseconds below 2⁵⁰ and tokens below 2³²; or", []),
        ("request of at most ([0-9]+)·inputTokens \\+ ([0-9]+)", [quoting.LARGER, quoting.SLACK]),
        (r"T\(predicted\) ≤ 1.5·T\(expected\) \+ ([0-9]+) ms", [quote.TOLERATED_MS]),
    ],
)  # fmt: skip
def test_limits_are_those_of_the_code(sentence: str, figures: list[int]) -> None:
    found = re.search(sentence, SPEC)
    assert found is not None
    assert [_number(text) for text in found.groups()] == figures


def test_limits_in_powers_of_two_are_those_of_the_code() -> None:
    assert (expect.MICROSECONDS_LIMIT, expect.TOKENS_LIMIT) == (2**50, 2**32)
    assert quote.TOLERATED == 1.5


def _number(text: str) -> int:
    words = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10}
    return words[text] if text in words else int(text.replace(",", ""))
