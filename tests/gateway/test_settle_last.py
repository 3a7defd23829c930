"""What a node does with the chain's refusals while it settles for the last time."""

from collections.abc import Awaitable, Callable

from tallystick.chain.errors import ChainUnavailable, TransactionFailed
from tallystick_node.gateway.serve import settle_last


def finishing(*answers: bool | Exception) -> tuple[Callable[[], Awaitable[bool]], list[bool | Exception]]:
    """Gives one answer after the other; and those that are left."""
    left = list(answers)

    async def finish() -> bool:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return finish, left


async def poll() -> None: ...


async def test_a_refused_transaction_is_not_the_end_of_it() -> None:
    """Blocks that were taken back fail a settlement that the next look sends again."""
    finish, left = finishing(TransactionFailed("taken back"), False, True)
    await settle_last(poll, finish, 0)
    assert not left


async def test_a_chain_that_is_gone_is_not_waited_for() -> None:
    finish, left = finishing(ChainUnavailable("gone"), True)
    await settle_last(poll, finish, 0)
    assert left == [True]
