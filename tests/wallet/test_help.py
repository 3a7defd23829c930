"""Help is quick, complete, and asks for no heavy import."""

import resource
import subprocess
import sys

import pytest
import typer

from tallystick.client.rules import RULES
from tallystick.wallet.cli import app

COMMANDS = {
    *("balance", "faucet", "deposit", "exit", "stake", "unstake", "join", "offers", "settle"),
    *("channels", "open", "close", "recover", "receipts", "duels", "findings", "pay", "proxy", "doctor"),
    *("offer withdraw", "receipt verify", "duel verify", "duel expire", "accusation verify"),
    *("audit channel", "audit provider"),
    *(f"judge {name}" for name in ("show", "enlist", "consent", "retire", "refresh", "withdraw")),
    *(f"fraud {name}" for name in ("list", "show", "export", "check", "report", "look")),
    *(f"wallet {name}" for name in ("new", "import", "list", "remove", "change-password", "address")),
}


def commands() -> dict[str, object]:
    found: dict[str, object] = {}

    def walk(group, prefix: str) -> None:
        for name, item in group.commands.items():
            if hasattr(item, "commands"):
                walk(item, f"{prefix}{name} ")
            else:
                found[prefix + name] = item

    walk(typer.main.get_command(app), "")
    return found


def test_every_command_is_there() -> None:
    assert set(commands()) == COMMANDS


def test_each_rule_of_the_proxy_is_named() -> None:
    (rule,) = (item for item in commands()["proxy"].params if item.name == "rule")  # type: ignore[attr-defined]
    assert all(name in rule.help for name in RULES)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_answers_with_json_and_says_what_it_does(alone, name: str) -> None:
    told = alone(*name.split(), "--help")
    assert told.status == 0
    assert "--json" in told.out
    for parameter in commands()[name].params:  # type: ignore[attr-defined]
        assert parameter.help, f"{parameter.name} of {name} says nothing"
        assert "password" not in parameter.name or parameter.name.endswith("file")


def test_every_first_line_fits_the_list(alone) -> None:
    assert "..." not in alone("--help", COLUMNS="80").out.split("Commands:")[1]


@pytest.mark.e2e
def test_help_takes_less_than_half_a_second_of_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from tallystick.wallet.cli import main; main()", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "deposit" in done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.e2e
def test_help_imports_nothing_that_only_commands_need() -> None:
    program = "import sys, tallystick.wallet.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"web3", "eth_account", "eth_abi", "eth_keyfile", "httpx2", "sqlalchemy", "cryptography", "rich"}
    assert not heavy & loaded
