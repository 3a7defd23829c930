"""What `import tallystick` promises, and what it costs."""

import subprocess
import sys

import tallystick

NAMES = [
    "BASE_URL",
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Audits",
    "Avoided",
    "Budget",
    "Candidate",
    "Choice",
    "Client",
    "ClosedChannel",
    "Duel",
    "HeldFinding",
    "HeldReceipt",
    "Judged",
    "Key",
    "Known",
    "MarketError",
    "Outcome",
    "Pair",
    "PostedOffer",
    "Quoted",
    "Rule",
    "Stream",
    "Transport",
    "Wanted",
    "cheapest",
    "fastest",
    "open_wallet",
    "outcome_of",
    "quoted",
    "stake_weighted",
    "strengths",
    "transport",
]


def test_the_public_names_are_these() -> None:
    assert sorted(tallystick.__all__) == sorted(NAMES)
    for name in NAMES:
        assert getattr(tallystick, name) is not None


def test_importing_loads_nothing() -> None:
    program = "import sys, tallystick; print([n for n in sys.modules if n.startswith('tallystick.')])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_paying_needs_no_web3() -> None:
    program = (
        "import sys, tallystick; tallystick.transport; tallystick.Client;"
        "heavy = ('web3', 'eth_account', 'openai', 'eth_keyfile', 'jinja2', 'tokenizers');"
        "print([n for n in heavy if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
