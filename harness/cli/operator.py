"""Who runs a command: what the operating system says, and never what the environment claims."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who acts.

    Attributes:
        name: Their name.
        how: How that is known.
    """

    name: str
    how: str


def operator() -> Operator:
    """Return who runs the command.

    `LOGNAME` and `USER` are not asked: anybody can set them.
    """
    if not hasattr(os, "getuid"):  # Windows has no user ids; the system answers here too
        return Operator(name=os.getlogin(), how="login of the system")
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Operator(name=name, how=f"uid {uid}")
