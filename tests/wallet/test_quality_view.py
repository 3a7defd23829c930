"""How duels and findings read, to people and to programs."""

from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from tallystick.chain.market import Asset
from tallystick.client.avoidance import Avoided, Reason
from tallystick.client.budget import Budget
from tallystick.client.findings import HeldFinding
from tallystick.client.pairs import Pair
from tallystick.client.purse import Purse
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, ChannelId, Hash32, Milliseconds, Tokens, to_hex
from tallystick.protocol.vote import Choice
from tallystick.wallet.errors import FindingUnknown
from tallystick.wallet.quality_view import duels, findings, save_samples
from tallystick.wallet.view import View
from tests.audits.showing import END, sample
from tests.quality.making import CHALLENGER, DOMAIN, FIRST, SECOND, case

ASSET = Asset(symbol="TEST", decimals=6)


def shown(view: View) -> str:
    text = StringIO()
    Console(file=text, width=200).print(view.shown)
    return text.getvalue()


def test_a_duel_says_who_what_and_how_much() -> None:
    keys = [
        ChannelKey(payer=CHALLENGER.address, provider=one.address, session_key=one.address)
        for one in (FIRST, SECOND)
    ]
    pair = Pair(
        number=3,
        case=case(),
        channels=(keys[0], keys[1]),
        known=Choice.SECOND,
        salt=Hash32(bytes(32)),
        state="over",
        cost=Atoms(1_500_000),
        verdict=Choice.FIRST,
    )
    view = duels([pair], Atoms(2_000_000), ASSET)

    (told,) = view.data["duels"]
    assert (told["state"], told["verdict"], told["known"], told["cost"]) == (
        "over",
        "first",
        "second",
        "1500000",
    )
    assert told["first"]["provider"] == to_hex(FIRST.address)
    assert told["second"]["receipt"]["cost"] == "1"
    assert view.data["spent"] == "2000000"
    text = shown(view)
    assert "first (known: second)" in text
    assert "1.5" in text


def test_a_finding_says_who_found_what_of_whom() -> None:
    finding = Finding(
        auditor=FIRST.address,
        provider=SECOND.address,
        receipt_hash=ZERO_HASH,
        receipts_root=ZERO_HASH,
        receipt_count=4,
        scales_hash=ZERO_HASH,
        check=int(Check.LOGPROB),
        verdict=int(Verdict.STRIKE),
        tokens=Tokens(44),
        evidence=19_000_000,
        found_at=Milliseconds(1),
    )
    held = HeldFinding(
        number=1,
        finding=sign(finding, DOMAIN, Key(b"\1" * 32)).signed,
        channel_id=ChannelId(bytes(32)),
        state="said",
        cost=Atoms(10),
        asked_at=Milliseconds(1),
    )
    view = findings([held], Atoms(10), (), ASSET)

    (told,) = view.data["findings"]
    assert told["said"] == {"verdict": "strike", "check": "logprob"}
    assert told["finding"]["provider"] == to_hex(SECOND.address)
    assert told["signature"].startswith("0x")
    assert all(word in shown(view) for word in ("strike", "logprob", "44", "said"))


@pytest.mark.parametrize("was_there", [False, True])
def test_what_a_strike_was_found_of_is_saved_as_an_auditor_takes_it(tmp_path: Path, was_there: bool) -> None:
    payer = Key(b"\2" * 32)
    budget = Budget(total=100, per_request=100)
    purse = Purse(tmp_path, wallet=payer, domain=DOMAIN, budget=budget, now=lambda: Milliseconds(1))
    shown = sample([5, 6, END])
    dossier = Dossier(receipts=(shown.receipt,), samples=(shown,))
    finding = Finding(
        auditor=FIRST.address,
        provider=shown.offer.provider,
        receipt_hash=dossier.last.struct_hash(),
        receipts_root=ZERO_HASH,
        receipt_count=1,
        scales_hash=ZERO_HASH,
        check=int(Check.RANK),
        verdict=int(Verdict.STRIKE),
        tokens=Tokens(3),
        evidence=19_000_000,
        found_at=Milliseconds(1),
    )
    number = purse.findings.begin(FIRST.address, dossier, Atoms(9), 10)
    purse.findings.hold(number, sign(finding, DOMAIN, FIRST).signed, dossier, Atoms(9))
    file = tmp_path / "samples.json"
    if was_there:
        file.write_text("readable by all, and much longer than what takes its place" * 100)
        file.chmod(0o644)
    save_samples(purse, number, file)

    assert file.stat().st_mode & 0o777 == 0o600, "it holds prompts"
    assert Dossier.from_json(orjson.loads(file.read_bytes())) == dossier
    with pytest.raises(FindingUnknown):
        save_samples(purse, number + 1, file)
    purse.close()


def test_whom_a_payer_goes_elsewhere_from_is_said_with_why_and_until_when() -> None:
    since = Milliseconds(1_790_000_000_000)
    struck = Avoided(provider=FIRST.address, reason=Reason.STRUCK, since=since)
    misdates = Avoided(provider=SECOND.address, reason=Reason.MISDATED, since=since)
    view = findings([], Atoms(0), [struck, misdates], ASSET)
    assert [(one["provider"], one["reason"], one["isAsked"]) for one in view.data["avoided"]] == [
        (to_hex(FIRST.address), "struck", "never"),
        (to_hex(SECOND.address), "misdated", "last"),
    ]
    assert view.data["avoided"][1]["until"] == str(since + 86_400_000)
    text = shown(view)
    assert "No auditor has said anything." in text
    first, second = (line for line in text.splitlines() if line.startswith("0x"))
    assert "was struck" in first
    assert "2026-09-28" in first
    assert "after all others" in second
    assert "2026-09-22" in second
