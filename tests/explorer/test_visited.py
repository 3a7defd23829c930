"""The showing's visitor of the explorer: it asks as any other, and is refused as any other."""

from typing import Any

from tallystick.protocol.units import Address, Hash32
from tallystick_node.explorer.guard import Limit
from tallystick_node.explorer.site import Site
from tallystick_node.local.quality.explored import explored

from .conftest import asked


def test_a_visitor_that_is_refused_for_asking_too_fast_asks_again(site: Site) -> None:
    answered: dict[str, int] = {}

    def note(response: Any) -> None:
        answered[response.url.path] = response.status_code

    with asked(site, Limit(rate=1.0, burst=1)) as client:
        client.event_hooks["response"].append(note)
        found = explored(client, [Hash32(bytes(32))], [Address(bytes(20))])  # type: ignore[arg-type]

    assert list(answered.values()) == [404, 404], (
        "Neither is on this chain, and neither was left at a refusal."
    )
    assert (found.asked, found.ended) == (1, 0)
