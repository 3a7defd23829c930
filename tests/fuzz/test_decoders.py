"""Each decoder for a moment: true, spoilt and hostile bytes give what it reads or the error that it names,
soon."""

import ast
import re
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.chain.errors import KeystoreError, WrongPassword
from tallystick.chain.keys import open_keystore
from tallystick.client.events import Lines
from tests.fuzz.decoders import DECODERS, ELSEWHERE, Decoder

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"(read|load|parse|decode)(_\w+|r_fn)?|from_json|signed_from_json|feed|payloads").fullmatch
HOSTILE = {
    "nothing": b"",
    "a zero byte": b"\0",
    "no UTF-8": b"\xff\xfe\xfd",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "closed nesting": b"[" * 900 + b"]" * 900,
    "a huge integer": b"9" * 200_000,
    "a huge integer in JSON": b'{"model": "m", "max_tokens": ' + b"9" * 5_000 + b"}",
    "half a surrogate pair": b'{"model": "\\ud800", "code": "\\udfff"}',
    "no numbers": b'{"model": "m", "max_tokens": NaN, "n": Infinity}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "one key twice": b'{"model": "m", "model": 1}',
    "a long line": b"data: " + b"x" * 200_000,
    "many lines": b"data: {}\n" * 100_000,
    "many commas": b"[" + b"1," * 100_000 + b"1]",
    "spaces": b" " * 200_000,
    "equals": b"a = " + b"[" * 20_000,
    "dotted": b"a." * 2_000 + b"a = 1",
    "a deep result": b'{"id": $ID, "result": ' + b"[" * 100_000,
    "an error without hex": b'{"id": $ID, "error": {"code": 3, "data": "0xzz"}}',
    "an error that is none": b'{"id": $ID, "error": [1]}',
    "a batch of numbers": b"[1, 2]",
}
PATIENCE_S = 2.0


def tried(decoder: Decoder, raw: bytes) -> None:
    with suppress(decoder.raises):
        decoder.read(raw)


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_true_is_read(name: str) -> None:
    decoder = DECODERS[name]
    if name == "keystore":  # It has another password.
        with pytest.raises(WrongPassword):
            decoder.read(decoder.seeds[0])
        return
    if name != "proof of fraud":  # tests/wallet has true ones.
        decoder.read(decoder.seeds[0])


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_hostile_is_refused_soon(name: str) -> None:
    for what, raw in HOSTILE.items():
        started = time.process_time()
        tried(DECODERS[name], raw)
        assert time.process_time() - started < PATIENCE_S, what


def spoilt(seed: bytes, random: Random) -> bytes:
    """A few bytes are others, gone, doubled or out of place."""
    data = bytearray(seed)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del data[at : at + random.randint(1, 8)]
            case 2:
                data[at:at] = data[max(0, at - random.randint(1, 40)) : at]
            case 3:
                data[at:at] = random.choice(PIECES)
            case 4:
                data[at : at + random.randint(1, 12)] = random.choice(PIECES)
    return bytes(data)


PIECES = (
    *(
        b"null",
        b"true",
        b"-1",
        b"0",
        b"1e400",
        b"18446744073709551616",
        b"[]",
        b"{}",
        b'""',
        b'"',
        b"\\",
        b"\n",
    ),
    *(
        b"NaN",
        b'"\\ud800"',
        b"\xed\xa0\x80",
        b"\0",
        b": ",
        b"data:",
        b"data: [DONE]\n",
        b"0x",
        b"=",
        b"'",
        b"#",
    ),
)


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_spoilt_is_read_or_refused(name: str) -> None:
    decoder = DECODERS[name]
    slow = name in ("node's answer", "keystore")

    @settings(max_examples=settings().max_examples // (4 if slow else 1))
    @given(st.sampled_from(decoder.seeds), st.integers(0, 1 << 32), st.binary(max_size=80))
    def holds(seed: bytes, chance: int, noise: bytes) -> None:
        random = Random(chance)
        for _ in range(5):
            tried(decoder, spoilt(seed, random))
        tried(decoder, noise)

    holds()


def test_a_long_line_that_comes_byte_by_byte_is_not_copied_each_time() -> None:
    lines = Lines()
    started = time.process_time()
    for _ in range(200_000):
        lines.feed(b"x")
    assert time.process_time() - started < PATIENCE_S


def test_a_keystore_cannot_ask_for_hours_of_work(tmp_path: Path) -> None:
    keystore = DECODERS["keystore"].seeds[0].replace(b'"c": 1', b'"c": 100000000000')
    (tmp_path / "wallet.json").write_bytes(keystore)

    with pytest.raises(KeystoreError):
        open_keystore(tmp_path / "wallet.json", "p")


def test_no_decoder_is_on_no_list() -> None:
    """A new `read_…`, `from_json` or the like has to be put on one."""
    listed = {name for decoder in DECODERS.values() for name in decoder.covers}
    found = set()
    for root in (ROOT / "ledger/tallystick", ROOT / "node/tallystick_node"):
        for path in root.rglob("*.py"):
            if "local" in path.parts or path.is_relative_to(root / "wallet/command.py"):
                continue
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and NAMES(node.name):
                    found.add(f"{module}.{node.name}")
    unlisted = {name for name in found if "._" not in name} - listed - ELSEWHERE.keys()
    assert not unlisted, "put it into DECODERS, or say in ELSEWHERE why not"
    assert ELSEWHERE.keys() <= found, "it is gone"
