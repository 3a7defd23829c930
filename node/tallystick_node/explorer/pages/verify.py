"""`/verify`: one receipt, step by step; by this server, or in the visitor's browser with no trust in it."""

from json import dumps
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import TypeAdapter

from tallystick.protocol.facts import facts_to_json
from tallystick_node.explorer.audit import checking, intake
from tallystick_node.explorer.audit.checking import CheckedReceipt
from tallystick_node.explorer.errors import NotFound, PageError
from tallystick_node.explorer.pages.frame import PROBLEMS, Db, connected, render
from tallystick_node.explorer.pages.sent import TAKES_JSON, Sent
from tallystick_node.explorer.queries import facts as queries
from tallystick_node.explorer.queries import receipts as receipt_queries
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Hash, shown

router: Final = APIRouter()
_HASH: Final = "^0x[0-9a-fA-F]{64}$"


@shown
class Checked:
    """What checking came to, by the chain up to a block."""

    block: int
    receipts: tuple[CheckedReceipt, ...]


_CHECKED: Final = TypeAdapter(Checked)


@router.get("/verify", include_in_schema=False, response_class=HTMLResponse)
async def verify(
    request: Request,
    site: TheSite,
    channel: Annotated[str | None, Query(pattern=_HASH)] = None,
    sequence: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Response:
    """Of a receipt that was published here where one is named, else of what is pasted: a browser that asks a
    node needs nothing of the index."""
    if channel is None:
        return _page(request, document="")
    async with connected(request) as db:
        printed = await receipt_queries.receipt(db, bytes.fromhex(channel[2:]), sequence)
        if printed is None:
            raise NotFound("No such receipt was published here.")
        data = intake.json(printed.text)
        page = await _check(request, db, site, data)
    document = dumps(data, indent=2)  # In letters that turn nothing around.
    return _page(request, document=document, page=page)


@router.post("/verify", include_in_schema=False, response_class=HTMLResponse)
async def verify_form(request: Request, raw: Sent, db: Db, site: TheSite) -> Response:
    """The same without scripts."""
    text = intake.form(request, raw).get("document", "")
    try:
        page = await _check(request, db, site, intake.json(text))
    except PageError as error:
        return _page(request, document=text, trouble=str(error), status=error.status)
    return _page(request, document=text, page=page)


def _page(
    request: Request,
    *,
    document: str,
    page: Checked | None = None,
    trouble: str | None = None,
    status: int = 200,
) -> Response:
    values = {"document": document, "page": page, "trouble": trouble}
    return render(request, "verify.html", values, twin=False, status=status)


@router.post(
    "/api/audit/receipt",
    operation_id="verify",
    response_model=Checked,
    summary="Checks a receipt's document, or a list of them, step by step",
    **TAKES_JSON,
)
async def verify_twin(request: Request, raw: Sent, db: Db, site: TheSite) -> Response:
    page = await _check(request, db, site, intake.json(raw))
    return Response(_CHECKED.dump_json(page, by_alias=True), media_type="application/json")


async def _check(request: Request, db: Db, site: TheSite, data: Any) -> Checked:
    block = request.state.read.block
    found = await checking.receipts(db, site.deployment.domain, block, data)
    return Checked(block=block, receipts=found)


@router.get(
    "/api/audit/facts/{channel}",
    operation_id="facts",
    summary="What the chain says about one receipt, for whoever checks it",
    responses=PROBLEMS,
)
async def facts(
    request: Request,
    channel: Hash,
    db: Db,
    site: TheSite,
    offer: Annotated[str, Query(pattern=_HASH, description="The offer that the receipt names")],
    cumulative: Annotated[str, Query(pattern="^[0-9]{1,39}$", description="Its cumulativeCost")] = "0",
    acknowledgement: Annotated[
        str | None, Query(pattern=_HASH, description="The hash of the acknowledgement that it is under")
    ] = None,
) -> dict[str, Any]:
    known = await queries.of_place(
        db,
        site.deployment.domain,
        request.state.read.block,
        channel,
        bytes.fromhex(offer[2:]),
        int(cumulative),
        None if acknowledgement is None else bytes.fromhex(acknowledgement[2:]),
    )
    return facts_to_json(known)
