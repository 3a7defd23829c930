"""Whose keys are taken, and what is wrong with files of them."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.config import ConfigInvalid, PolicyConfig, UsersConfig
from tallystick_node.network.errors import UserUnknown
from tallystick_node.network.loading import load_policy
from tallystick_node.network.policies import ByLoad, Paper
from tallystick_node.network.users import Users, add_user


def test_a_user_comes_with_the_key_that_was_made(tmp_path: Path) -> None:
    path = tmp_path / "users.keys"
    keys = {name: add_user(path, name) for name in ("ann", "ben")}
    users = Users.of(UsersConfig(keys_file=path))
    assert {users.user(f"Bearer {key}").name for key in keys.values()} == {"ann", "ben"}
    assert not any(key in path.read_text() for key in keys.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in ("Bearer ", "Bearer " + keys["ann"][:-1], f"Bearer {keys['ann']}x", "Bearer \udcff"):
        with pytest.raises(UserUnknown):
            users.user(wrong)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "users.keys"
    add_user(path, "ann")
    for name in ("ann", "", "two words", "#ann"):
        with pytest.raises(ValueError, match=name or "name"):
            add_user(path, name)
    assert len(path.read_text().splitlines()) == 1


def test_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_USERS", "a-key-that-is-long-enough, another-one-that-is-long")
    users = Users.of(UsersConfig(keys_env="OUR_USERS"))
    assert users.user("bearer another-one-that-is-long").name == "OUR_USERS-2"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("", "names no key"),
        ("# nobody yet\n\n", "names no key"),
        ("ann\n", "line 1"),
        ("ann secret\n", "line 1"),
        ("# fine\nann 00ff\n", "line 2"),
        ("ann " + "0" * 64 + " more\n", "line 1"),
    ],
)
def test_a_file_without_keys_is_said(tmp_path: Path, lines: str, why: str) -> None:
    (tmp_path / "users.keys").write_text(lines)
    with pytest.raises(ConfigInvalid, match=why):
        Users.of(UsersConfig(keys_file=tmp_path / "users.keys"))


def test_keys_that_are_not_there_or_too_short_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        Users.of(UsersConfig(keys_file=tmp_path / "none"))
    with pytest.raises(ConfigInvalid, match="not set"):
        Users.of(UsersConfig(keys_env="OUR_USERS"))
    monkeypatch.setenv("OUR_USERS", "short")
    with pytest.raises(ConfigInvalid, match="Key 1 in OUR_USERS"):
        Users.of(UsersConfig(keys_env="OUR_USERS"))


# --------------------------------------------------------------------------------------- policies by name


def test_policies_are_found_by_name() -> None:
    assert load_policy(PolicyConfig()) == ByLoad()
    paper = load_policy(PolicyConfig(name="paper", options={"offload_frequency": 0.5}))
    assert paper == Paper(offload_frequency=0.5)
    dotted = PolicyConfig(name="tallystick_node.network.policies.ByLoad", options={"highest": 2_000})
    assert load_policy(dotted) == ByLoad(highest=2_000)


MINE = """
from tallystick_node.network.policies import ByLoad

class Mine(ByLoad):
    def accept(self, request, state):
        return False

class Half:
    def accept(self, request, state):
        return True

NONE = 3
"""


def test_one_s_own_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "my_policy_of_test_users.py").write_text(MINE)
    config = PolicyConfig(name="my_policy_of_test_users.Mine", path=tmp_path, options={"highest": 1_200})
    policy = load_policy(config)
    assert type(policy).__name__ == "Mine"
    assert policy.thousandths(1.0) == 1_200  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("best", {}, "none of default, paper"),
        ("no_such_module_at_all.Mine", {}, "cannot be imported"),
        ("my_policy_wrong.Theirs", {}, "has no class Theirs"),
        ("my_policy_wrong.NONE", {}, "has no class NONE"),
        ("my_policy_wrong.Half", {}, "lacks offload, price, stake"),
        ("my_policy_wrong.Mine", {"lowest": 0}, "lowest"),
        ("default", {"lowset": 900}, "lowset"),
        ("paper", {"target": 7}, "target"),
        ("my_policy_broken.Mine", {}, "cannot be imported.*ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said(
    tmp_path: Path, name: str, options: dict[str, object], why: str
) -> None:
    (tmp_path / "my_policy_wrong.py").write_text(MINE)
    (tmp_path / "my_policy_broken.py").write_text("1 / 0")
    with pytest.raises(ConfigInvalid, match=why):
        load_policy(PolicyConfig(name=name, options=options, path=tmp_path))


# --------------------------------------------------------------------------------------- at the command line


CONFIG = """
rpc = "http://127.0.0.1:1"
deployment = "none"
keys = { receipt = "none" }
engine = { url = "http://127.0.0.1:1" }
"""


def test_the_command_makes_a_key_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "users.keys"
    made = CliRunner().invoke(app, ["user-key", str(path), "ann"])
    assert made.exit_code == 0
    users = Users.of(UsersConfig(keys_file=path))
    assert users.user(f"Bearer {made.stdout.strip()}").name == "ann"
    again = CliRunner().invoke(app, ["user-key", str(path), "ann"])
    assert (again.exit_code, "has a key already" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[policy]\nname = "best"', "is none of default, paper"),
        ("[policy]\noptions = { lowset = 3 }", "lowset"),
        ('[users]\nkeys_file = "none"', "cannot be read"),
        ("[users]", "names no key"),
        ("[offload]\ntotal = 1\nper_request = 1", "there are none"),
        ("[offload]\ntotal = 1\nper_request = 1\nduel_share = 0.5\n[users]", "duel_budget"),
        ("[offload]\ntotal = 1\nper_request = 1\nduel_share = 2\n[users]", "offload.duel_share"),
        ("[offload]\ntotal = 0\nper_request = 1\n[users]", "offload.total"),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_what_is_wrong_is_one_sentence(tmp_path: Path, command: str, more: str, why: str) -> None:
    (tmp_path / "node.toml").write_text(CONFIG + more)
    told = CliRunner().invoke(app, [command, str(tmp_path / "node.toml")])
    assert told.exit_code == 1
    assert why in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
