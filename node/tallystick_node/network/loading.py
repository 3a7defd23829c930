"""Finds the policy that a configuration names. What is wrong with it is said before the node starts."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tallystick_node.config import ConfigInvalid, PolicyConfig
from tallystick_node.network.policies import ByLoad, Paper, Policy

SHIPPED: Final[Mapping[str, type[ByLoad | Paper]]] = {"default": ByLoad, "paper": Paper}
_METHODS: Final = ("accept", "offload", "price", "stake")


def load_policy(config: PolicyConfig) -> Policy:
    """Raises ConfigInvalid."""
    kind = SHIPPED.get(config.name) or _found(config.name, config.path)
    try:
        policy = kind(**config.options)
    except Exception as error:
        raise ConfigInvalid(f"policy.options: {config.name} cannot be made with them: {error}.") from error
    missing = [name for name in _METHODS if not callable(getattr(policy, name, None))]
    if missing:
        raise ConfigInvalid(f"policy.name: {config.name} lacks {', '.join(missing)}.")
    found: Policy = policy
    return found


def _found(dotted: str, folder: Path) -> Any:
    module_name, _, name = dotted.rpartition(".")
    if not module_name:
        known = ", ".join(SHIPPED)
        raise ConfigInvalid(f"policy.name: {dotted!r} is none of {known}, and no path like module.Class.")
    sys.path.append(str(folder.resolve()))
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigInvalid(f"policy.name: {module_name} cannot be imported: {error!r}.") from error
    finally:
        sys.path.remove(str(folder.resolve()))
    if not isinstance(kind := getattr(module, name, None), type):
        raise ConfigInvalid(f"policy.name: {module_name} has no class {name}.")
    return kind
