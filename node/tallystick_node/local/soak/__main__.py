"""A whole market under load while its parts are killed: 100 payers, 5 providers, a chain, on this machine.

Gateways and SDK processes die by SIGKILL, the chain stalls and restarts, at moments drawn from a seed. At the
end payers acknowledge what they hold, gateways settle, and everything must add up to the atom. Exits with 1
where it does not.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tallystick_node.local.audit import Check, audit
from tallystick_node.local.bench.cpu import rss_bytes
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.progress import tell
from tallystick_node.local.soak.crowd import Crowd
from tallystick_node.local.soak.trouble import Kind, Trouble, make, troubles
from tallystick_node.local.soak.verdict import (
    all_acknowledged,
    charged_once,
    databases_of,
    growth,
    halves_fit,
    memory_flat,
)

_PROVIDERS: Final = 5
_PROCESSES: Final = 10
_WALLETS_EACH: Final = 10
_SAMPLE_S: Final = 2.0
_LATE_S: Final = 60.0
"""How much longer than asked a short run may last, for each kind of trouble to come."""
_SETTINGS: Final = "\n[settle]\ninterval_s = 20\nminimum = 1\n"


def main() -> int:
    options = _parse()
    with tempfile.TemporaryDirectory(prefix="tallystick-soak-", ignore_cleanup_errors=True) as folder:
        report = _soak(Path(options.keep or folder), options)
    for check in report["checks"]:
        print(f" {'✓' if check['holds'] else '✗'} {check['question']}: {check['found']}")
    print(json.dumps({name: value for name, value in report.items() if name not in ("checks", "rss")}))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0 if all(check["holds"] for check in report["checks"]) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, metavar="N", help="of load (default: 30)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was found there")
    parser.add_argument(
        "--seed", type=int, default=20, help="of the kills, and of when payers buy what (default: 20)"
    )
    parser.add_argument(
        "--pause-s",
        type=float,
        default=4,
        metavar="S",
        help="between two requests of one payer, on average (default: 4)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=_PROCESSES,
        metavar="N",
        help=f"of {_WALLETS_EACH} payers each (default: {_PROCESSES})",
    )
    parser.add_argument("--keep", metavar="FOLDER", help="work there and leave everything behind")
    return parser.parse_args()


def _soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    seconds, seed, processes = options.minutes * 60, options.seed, options.processes
    market = LocalMarket(
        folder=folder,
        provider_count=_PROVIDERS,
        engine_options=("--token-delay-ms", "5"),
        settings=_SETTINGS,
        lasting_chain=True,
        tell=tell,
    )
    with market:
        crowd = Crowd.funded(
            market, processes=processes, wallets_each=_WALLETS_EACH, seed=seed, pause_s=options.pause_s
        )
        crowd.start()
        tell(f"{processes * _WALLETS_EACH} payers buy for {seconds / 60:g} minutes")
        plan = troubles(seed, gateways=_PROVIDERS, processes=processes)
        samples, suffered = _endure(market, crowd, seconds, plan)
        tell("the payers stop, and acknowledge what is left")
        crowd.stop()
        left_open = crowd.finish()
        tell("the gateways drain and settle")
        market.stop_gateways()
        half = crowd.half()
        databases = databases_of(market)
        checks = [
            *audit(market.market_of(market.payer), half),
            halves_fit(half, databases),
            charged_once(half),
            all_acknowledged(half, left_open),
            memory_flat(samples),
            Check(
                question="all kinds of trouble came",
                holds=all(suffered[kind.value] for kind in Kind),
                found=", ".join(f"{count} × {name}" for name, count in suffered.items()),
            ),
        ]
        return {
            "payers": processes * _WALLETS_EACH,
            "processes": processes,
            "providers": _PROVIDERS,
            "minutes": seconds / 60,
            "seed": seed,
            "checks": [{"question": c.question, "holds": c.holds, "found": c.found} for c in checks],
            "troubles": suffered,
            "became": crowd.became(),
            "database": growth(databases),
            "rss": samples,
        }


def _endure(
    market: LocalMarket, crowd: Crowd, seconds: float, plan: Iterator[Trouble]
) -> tuple[list[int], Counter[str]]:
    """The spared gateway's memory over time, and what happened."""
    begun = time.monotonic()
    samples: list[int] = []
    suffered: Counter[str] = Counter()
    trouble, sample_at = next(plan), 0.0
    while (now := time.monotonic() - begun) < seconds or (
        len(suffered) < len(Kind) and now < seconds + _LATE_S
    ):
        if now >= sample_at:
            samples.append(rss_bytes(market.providers[0].running.pid))
            sample_at = now + _SAMPLE_S
        if now >= trouble.at_s:
            tell(f"{trouble.kind.value}: {trouble.whom}")
            make(trouble, market, crowd)
            suffered[trouble.kind.value] += 1
            trouble = next(plan)
        time.sleep(0.1)
    return samples, suffered


if __name__ == "__main__":
    sys.exit(main())
