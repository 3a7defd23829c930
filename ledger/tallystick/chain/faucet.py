"""Money out of nothing, on a development node: gas by its own method, the asset by its open mint."""

from tallystick.chain import contracts
from tallystick.chain.errors import ChainUnavailable, NoContract, RpcError
from tallystick.chain.market import Market
from tallystick.protocol.units import Address, Atoms, to_hex

_GAS = 100 * 10**18
"""Wei: a hundred of the chain's coin."""


def drip(market: Market, to: Address, atoms: Atoms) -> None:
    """Gas for thousands of transactions, and `atoms` of the asset.

    Raises
    ------
    NoContract :
        The node is no development node, or the asset is not one that anybody may mint.
    """
    rpc = market.rpc
    try:
        if market.gas_balance(to) < _GAS:
            rpc.call("anvil_setBalance", to_hex(to), hex(_GAS))
        sender = rpc.call("eth_accounts")[0]
        call = contracts.asset().call(market.deployment.asset, "mint", to, atoms)
        request = {"from": sender, "to": to_hex(market.deployment.asset), "data": to_hex(call.data)}
        before = market.asset_balance(to)
        rpc.call("eth_sendTransaction", request)
    except (RpcError, IndexError, TypeError) as error:
        raise NoContract(
            f"This chain's node gives nothing away ({error}). Run a local chain with anvil, or get the asset "
            "from somebody who has it."
        ) from error
    _await(market, to, before + atoms)


def _await(market: Market, to: Address, atoms: int) -> None:
    """Until it is mined, on a chain whose blocks come by the clock."""
    import time

    deadline = time.monotonic() + 30
    while market.asset_balance(to) < atoms:
        if time.monotonic() > deadline:
            raise ChainUnavailable("The asset was minted and is not there yet: look again later.")
        time.sleep(0.05)
