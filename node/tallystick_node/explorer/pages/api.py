"""`/api`: what a program can ask, readably; the document that it is made from is /api/openapi.json."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from tallystick_node.explorer.pages.frame import Pages, render
from tallystick_node.explorer.values import shown

pages = Pages()


@shown
class Parameter:
    name: str
    where: str
    """`path` or `query`."""
    required: bool
    about: str


@shown
class Operation:
    """One way to ask."""

    method: str
    path: str
    about: str
    parameters: Sequence[Parameter]
    answer: str
    """The name of what comes back."""
    csv: str | None
    """Where the same is as a table."""

    @property
    def link(self) -> str | None:
        """Where it can be asked by following a link."""
        return self.path if self.method == "GET" and "{" not in self.path else None


def operations(document: dict[str, Any]) -> Sequence[Operation]:
    """Of an OpenAPI document, in its order; a table's CSV stands with its JSON."""
    paths = document["paths"]
    return [
        _operation(method.upper(), path, told, f"{path}.csv" if f"{path}.csv" in paths else None)
        for path, methods in paths.items()
        if not path.endswith(".csv")
        for method, told in methods.items()
    ]


def _operation(method: str, path: str, told: dict[str, Any], csv: str | None) -> Operation:
    parameters = [
        Parameter(
            name=parameter["name"],
            where=parameter["in"],
            required=parameter.get("required", False),
            about=parameter.get("description") or parameter.get("schema", {}).get("description", ""),
        )
        for parameter in told.get("parameters", ())
    ]
    about = (told.get("description") or told.get("summary", "")).strip().splitlines()
    return Operation(
        method=method,
        path=path,
        about=about[0] if about else "",
        parameters=parameters,
        answer=_answer(told.get("responses", {}).get("200", {}).get("content", {})),
        csv=csv,
    )


def _answer(content: dict[str, Any]) -> str:
    reference: str = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    name = reference.rpartition("/")[2]
    listed = name.removeprefix("Listing_").removesuffix("_")
    return name if listed == name else f"{listed}, listed"


@pages.router.get("/api", include_in_schema=False)
async def api(request: Request) -> Response:
    found = operations(request.app.openapi())
    return render(request, "api.html", {"operations": found}, twin=False)
