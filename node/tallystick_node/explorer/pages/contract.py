"""`/contract`: the market's contract, its build and its sources, compared with what the chain has."""

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.chain import build, contracts
from tallystick.chain.abi import type_of
from tallystick_node.explorer.deployed import Deployed, NodeSilent, deployed
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.frame import Pages
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.sources import Source, sources
from tallystick_node.explorer.values import shown

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
    """The market's contract."""

    deployed: Deployed | None
    silent: str | None
    """Why the chain could not be asked."""
    compiler: str
    settings: Mapping[str, Any]
    sources: Sequence[SourceFile]
    abi: Sequence[Mapping[str, Any]]

    def entries(self, kind: str) -> list[tuple[str, str, str]]:
        """(name, parameters, results) of a kind of entry, by name."""
        found = [entry for entry in self.abi if entry["type"] == kind]
        return sorted(
            (entry.get("name", ""), _parameters(entry["inputs"]), _parameters(entry.get("outputs", ())))
            for entry in found
        )


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{_type(parameter)} {parameter['name']}".strip() for parameter in parameters)


def _type(parameter: Mapping[str, Any]) -> str:
    """A struct by its name, as the source has it."""
    internal = str(parameter.get("internalType", ""))
    if parameter["type"].startswith("tuple") and internal:
        return internal.removeprefix("struct ").rpartition(".")[2]
    return type_of(parameter)


@pages.page("/contract", "contract.html")
async def contract(site: TheSite) -> Contract:
    """The contract's source, interface and values, and whether the chain has this build."""
    found, silent = None, None
    if site.node is None:
        silent = "This explorer was started without a node to ask."
    else:
        try:
            found = await deployed(site.node, site.deployment)
        except NodeSilent as error:
            silent = str(error)
    own = build.market()
    files = [
        SourceFile(
            path=source.path,
            keccak256=source.keccak256,
            matches=None if source.text is None else source.matches,
        )
        for source in sources()
    ]
    return Contract(
        deployed=found,
        silent=silent,
        compiler=own.compiler,
        settings=own.settings,
        sources=files,
        abi=contracts.market().interface.entries,
    )


@pages.page("/contract/{path:path}", "source.html")
async def source(path: str) -> Source:
    """One source file of the contract."""
    for found in sources():
        if found.path == path and found.text is not None:
            return found
    raise NotFound("The market's own sources hold no such file.")
