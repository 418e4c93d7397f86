"""`goldrun ops stop`, `resume`: stop every worker, also where the store cannot be reached, and let them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.control_store import act_of, in_force, now, open_store, time_text
from harness.cli.operator import operator
from harness.cli.options import DEFAULT_STORE, Reason, Store
from harness.cli.output import say, warn
from harness.text import safe_text
from runtime.control.switches import Switch, SwitchRef
from runtime.errors import DataError, ExitCode
from runtime.state.control.stop_file import read_stop, remove_stop, stop_path, write_stop

_GLOBAL = SwitchRef(scope="global")


def stop(
    reason: Reason = "",
    by_file: Annotated[
        bool, typer.Option("--by-file", help="Write the stop file, also if the store can be reached.")
    ] = False,
    store: Store = DEFAULT_STORE,
) -> int:
    """Stop every worker of a store; by a file beside it where the store itself cannot be reached."""
    by = operator()
    problem: DataError | None = None
    if not by_file:
        try:
            with open_store(store) as control:
                switch = Switch(ref=_GLOBAL, by=by.name, reason=reason, at=now())
                epoch = control.put_switch(switch, act=act_of("stop", "all", reason))
                say(f"stopped all (epoch {epoch}): {in_force(control, epoch)}")
            return ExitCode.OK
        except DataError as error:
            problem = error
    try:
        write_stop(store, by=f"{by.name} ({by.how})", reason=reason, at=now())
    except OSError as error:
        raise DataError(
            f"the stop file cannot be written: {error.strerror}",
            where=str(stop_path(store)),
            next_step="write it on the machine of the workers, or end their processes",
        ) from error
    if problem is not None:
        warn(f"the store cannot be reached: {problem.what}")
    say(f"wrote {stop_path(store)}: workers beside it start nothing any more within 3 seconds")
    return ExitCode.OK


def resume(reason: Reason = "", store: Store = DEFAULT_STORE) -> int:
    """Let the workers go on: remove the stop file, and put the switch on everything back."""
    stopped = read_stop(store)
    try:
        removed = remove_stop(store)
    except OSError as error:
        raise DataError(
            f"the stop file cannot be removed: {error.strerror}", where=str(stop_path(store))
        ) from error
    if removed and stopped is not None:
        say(f"removed {stop_path(store)}, written by {safe_text(stopped.by, 80)} at {time_text(stopped.at)}")
    if removed and not store.is_file():
        warn("there is no store here, so that is noted nowhere")
        return ExitCode.OK
    with open_store(store) as control:
        pulled = any(switch.ref == _GLOBAL for switch in control.read_switches().switches)
        if removed and stopped is not None:
            # The store could not be reached then, or was not asked.
            written = f"all, by file, by {stopped.by} at {time_text(stopped.at)}"
            control.note_act(act_of("stop", written, stopped.reason))
        act = act_of("resume", "all", reason)
        if pulled:
            control.clear_switch(_GLOBAL, act=act)
        elif removed:
            control.note_act(act)
    if not removed and not pulled:
        say("nothing changed: the workers are not stopped")
        return ExitCode.CHECK_FAILED
    say("resumed: what no other switch stops may start again")
    return ExitCode.OK
