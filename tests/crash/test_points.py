"""Every point at which a gateway or a payer's process can die: it is killed there, and all is well again.

`docs/trust.md` lists the same points, and says what is lost at each.
"""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chain.test_trials import ON_CHAIN
from tests.crash.arena import PATIENCE_S, Arena, Wallet, finish
from tests.crash.test_behind import BEHIND
from tests.warm import ROOT, Warm

pytestmark = pytest.mark.e2e

Scenario = Callable[[Arena, Wallet, str, int], None]

BUYING = ("whole", "stream", "long", "whole")


def while_buying(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    """The gateway dies under a payer that goes on asking."""
    arena.start(point, passing)
    child = arena.begin(wallet, BUYING)
    arena.wait_until_dead()
    arena.start()
    finish(child, len(BUYING))


def while_closing(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start(point, passing)
    arena.pay(wallet, BUYING)
    child = arena.begin(wallet, ["close"])
    arena.wait_until_dead()
    arena.start()
    child.communicate(timeout=PATIENCE_S)
    arena.pay(wallet, ["close"])


def while_starting(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start()
    arena.pay(wallet, BUYING)
    arena.stop()
    arena.change_offer()
    arena.start(point, passing)
    arena.wait_until_dead()
    arena.start()


def while_stopping(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start(point, passing)
    arena.pay(wallet, BUYING)
    arena.provider.running.terminate()
    arena.wait_until_dead()
    arena.start()


def after_a_loss(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    """The gateway has lost its database, and dies as it gets its half back."""
    arena.start()
    arena.pay(wallet, BUYING)
    arena.require_whole(wallet)
    arena.stop()
    arena.lose_database()
    arena.start(point, passing)
    child = arena.begin(wallet, BUYING)
    arena.wait_until_dead()
    arena.start()
    finish(child, len(BUYING))


def payer_buying(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start()
    killed(arena, wallet, BUYING, point, passing)


def payer_closing(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start()
    arena.pay(wallet, BUYING)
    arena.require_whole(wallet)
    killed(arena, wallet, ["close"], point, passing)


def payer_handing_over(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start()
    arena.pay(wallet, BUYING)
    arena.require_whole(wallet)
    arena.stop()
    arena.lose_database()
    arena.start()
    killed(arena, wallet, BUYING, point, passing)


def payer_recovering(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    arena.start()
    arena.pay(wallet, BUYING)
    arena.require_whole(wallet)
    for path in wallet.purse_folder().glob("purse.db*"):
        path.unlink()
    killed(arena, wallet, ["recover", *BUYING], point, passing)


def payer_refusing(arena: Arena, wallet: Wallet, point: str, passing: int) -> None:
    """Nobody sells to it any more: the next process finds out by itself."""
    arena.start()
    arena.pay(wallet, BUYING)
    arena.require_whole(wallet)
    arena.stop()
    arena.start_cheating()
    killed(arena, wallet, ["whole", "wake"], point, passing)
    arena.pay(wallet, ["wake"])
    assert arena.unsettled(wallet) == 0
    assert arena.closing(wallet) == [True]


def killed(arena: Arena, wallet: Wallet, jobs: object, point: str, passing: int) -> None:
    child = arena.begin(wallet, jobs, point, passing)  # type: ignore[arg-type]
    _, err = child.communicate(timeout=2 * PATIENCE_S)
    assert child.returncode == -signal.SIGKILL, err


GATEWAY: dict[str, tuple[Scenario, int]] = {
    "request.admitted": (while_buying, 2),
    "request.saved": (while_buying, 2),
    "commit.begun": (while_buying, 9),
    "commit.done": (while_buying, 9),
    "grant.accepted": (while_buying, 1),
    "grants.sending": (while_buying, 1),
    "grants.mined": (while_buying, 1),
    "engine.answered": (while_buying, 2),
    "stream.sent": (while_buying, 20),
    "receipt.signed": (while_buying, 3),
    "receipt.saved.whole": (while_buying, 1),
    "receipt.saved.interim": (while_buying, 1),
    "receipt.saved.final": (while_buying, 1),
    "voucher.taken": (while_buying, 1),
    "voucher.saved": (while_buying, 1),
    "vouchers.sending": (while_buying, 1),
    "vouchers.settled": (while_buying, 1),
    "log.checkpointed": (while_buying, 2),
    "chain.applied": (while_closing, 1),
    "close.begun": (while_closing, 1),
    "close.saved": (while_closing, 1),
    "offer.signed": (while_starting, 1),
    "offer.posted": (while_starting, 1),
    "prune.begun": (while_starting, 1),
    "drain.begun": (while_stopping, 1),
    "drain.done": (while_stopping, 1),
    "restore.taken": (after_a_loss, 1),
    "restore.saved": (after_a_loss, 1),
    "epoch.closing": (after_a_loss, 1),
    "epoch.closed": (after_a_loss, 1),
}
"""The point, when it is passed, and at which passing the process dies."""

PAYER: dict[str, tuple[Scenario, int]] = {
    "channel.made": (payer_buying, 1),
    "grant.kept": (payer_buying, 1),
    "request.reserved": (payer_buying, 2),
    "answer.begun": (payer_buying, 2),
    "answer.shown": (payer_buying, 3),
    "receipt.checked": (payer_buying, 2),
    "receipt.accepted": (payer_buying, 3),
    "voucher.signed": (payer_buying, 1),
    "voucher.answered": (payer_buying, 1),
    "receipt.refused": (payer_refusing, 1),
    "close.requested": (payer_refusing, 1),
    "close.consented": (payer_closing, 1),
    "close.mined": (payer_closing, 1),
    "half.handed-over": (payer_handing_over, 1),
    "epoch.over": (payer_handing_over, 1),
    "channel.reopened": (payer_handing_over, 1),
    "channel.taken-back": (payer_recovering, 1),
    "receipts.adopted": (payer_recovering, 1),
}


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Arena]:
    with Arena.open(tmp_path_factory.mktemp("arena"), warm) as arena:
        yield arena


@pytest.fixture
def wallet(arena: Arena) -> Iterator[Wallet]:
    yield arena.wallet()
    arena.stop()


@pytest.mark.parametrize("point", GATEWAY)
def test_a_gateway_that_dies(arena: Arena, wallet: Wallet, point: str) -> None:
    scenario, passing = GATEWAY[point]
    scenario(arena, wallet, point, passing)
    arena.pay(wallet, ["whole", "stream"])
    assert arena.require_whole(wallet)


@pytest.mark.parametrize("point", ["commit.begun", "commit.done", "receipt.saved.final"])
def test_a_gateway_on_power_that_dies(arena: Arena, wallet: Wallet, point: str) -> None:
    """Its commits are in another thread, and the loop goes on meanwhile."""
    with arena.on_power():
        scenario, passing = GATEWAY[point]
        scenario(arena, wallet, point, passing)
        arena.pay(wallet, ["whole", "stream"])
        assert arena.require_whole(wallet)
        arena.stop()


@pytest.mark.parametrize("point", PAYER)
def test_a_payer_that_dies(arena: Arena, wallet: Wallet, point: str) -> None:
    scenario, passing = PAYER[point]
    scenario(arena, wallet, point, passing)
    again = ["recover"] if scenario is payer_recovering else []
    if scenario is not payer_refusing:
        arena.pay(wallet, [*again, "whole", "stream"])
    assert arena.require_whole(wallet)


@pytest.mark.parametrize("point", ["voucher.saved", "voucher.answered"])
def test_a_voucher_whose_answer_was_lost_is_not_sent_for_ever(
    arena: Arena, wallet: Wallet, point: str
) -> None:
    """The provider holds it, and says so when it gets it again, though nothing is bought any more."""
    if point in GATEWAY:
        arena.start(point)
        arena.pay(wallet, ["whole"])
        arena.wait_until_dead()
        arena.start()
    else:
        arena.start()
        killed(arena, wallet, ["whole"], point, 1)
    assert arena.unsettled(wallet) == 1
    arena.pay(wallet, ["wake"])
    assert arena.unsettled(wallet) == 0
    assert arena.require_whole(wallet)


def test_every_point_is_listed_and_tested() -> None:
    sources = [path for root in ("ledger", "node") for path in (ROOT / root).rglob("*.py")]
    found = [name for path in sources for name in re.findall(r'\bpoint\("([^"]+)"\)', path.read_text())]
    assert len(found) == len(set(found)), "a name stands for one place"
    listed = re.findall(r"^\| `([a-z.-]+)` \|", (ROOT / "docs" / "trust.md").read_text(), re.MULTILINE)
    assert set(found) == {*GATEWAY, *PAYER, *BEHIND, *ON_CHAIN}
    assert sorted(listed) == sorted(found)


def test_nothing_in_the_program_can_make_it_die() -> None:
    """Only an audit hook hears of a point, and only the tests add one."""
    for path in [path for root in ("ledger", "node") for path in Path(ROOT / root).rglob("*.py")]:
        assert "addaudithook" not in path.read_text(), path
