"""`/contract`: the contracts that hold money, their builds and sources, compared with what the chain has."""

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.chain import build, contracts
from tallystick.chain.abi import type_of
from tallystick_node.explorer.deployed import Deployed, NodeSilent, addresses, deployed
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.frame import Pages
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.sources import Source, sources
from tallystick_node.explorer.values import Address, shown

pages = Pages()


@shown
class SourceFile:
    """One file that was compiled, without its text."""

    path: str
    keccak256: str
    matches: bool | None
    """What is shown here is what was compiled; none: a library's, not carried along."""


@shown
class Contract:
    """One contract that holds money: its build, and what the chain has."""

    name: str
    address: Address
    deployed: Deployed | None
    """None: the chain could not be asked."""
    compiler: str
    settings: Mapping[str, Any]
    abi: Sequence[Mapping[str, Any]]

    def entries(self, kind: str) -> list[tuple[str, str, str]]:
        """(name, parameters, results) of a kind of entry, by name."""
        found = [entry for entry in self.abi if entry["type"] == kind]
        return sorted(
            (entry.get("name", ""), _parameters(entry["inputs"]), _parameters(entry.get("outputs", ())))
            for entry in found
        )


@shown
class ContractPage:
    """The market's contract, and those of its duels and audits where the deployment names them."""

    contracts: Sequence[Contract]
    silent: str | None
    """Why the chain could not be asked."""
    sources: Sequence[SourceFile]
    """Of all of them."""


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{_type(parameter)} {parameter['name']}".strip() for parameter in parameters)


def _type(parameter: Mapping[str, Any]) -> str:
    """A struct by its name, as the source has it."""
    internal = str(parameter.get("internalType", ""))
    if parameter["type"].startswith("tuple") and internal:
        return internal.removeprefix("struct ").rpartition(".")[2]
    return type_of(parameter)


@pages.page("/contract", "contract.html")
async def contract(site: TheSite) -> ContractPage:
    """The contracts' sources, interfaces and values, and whether the chain has these builds."""
    found: Mapping[str, Deployed] = {}
    silent = None
    if site.node is None:
        silent = "This explorer was started without a node to ask."
    else:
        try:
            found = {one.name: one for one in await deployed(site.node, site.deployment)}
        except NodeSilent as error:
            silent = str(error)
    files = [
        SourceFile(
            path=source.path,
            keccak256=source.keccak256,
            matches=None if source.text is None else source.matches,
        )
        for source in sources()
    ]
    named = addresses(site.deployment).items()
    return ContractPage(
        contracts=[_contract(name, address, found.get(name)) for name, address in named],
        silent=silent,
        sources=files,
    )


def _contract(name: str, address: Address, found: Deployed | None) -> Contract:
    own = build.built(name)
    return Contract(
        name=name,
        address=address,
        deployed=found,
        compiler=own.compiler,
        settings=own.settings,
        abi=contracts.of_name(name).interface.entries,
    )


@pages.page("/contract/{path:path}", "source.html")
async def source(path: str) -> Source:
    """One source file of the contracts."""
    for found in sources():
        if found.path == path and found.text is not None:
            return found
    raise NotFound("The contracts' own sources hold no such file.")
