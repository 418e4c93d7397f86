"""Idempotency claims: one owner at a time carries out a write, and a lost answer is in doubt, never forgotten.

claimed --complete--> done           the result is stored and answers every later claim
        --fail------> failed         the effect certainly did not happen; the next claim wins
        --expire----> in_doubt       the owner is gone; only a repeatable call may be claimed again
in_doubt -reconcile-> reconciled (it happened) | failed (it did not)

Each win carries a fencing number one higher than the last. What an owner reports under an older number does
nothing: somebody else has taken over. A late report under the current number counts, because it is the truth
about a call that is otherwise in doubt.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.core.effects import ToolResult

ClaimState = Literal["claimed", "done", "failed", "in_doubt", "reconciled"]
ClaimVerdict = Literal["won", "done", "busy", "in_doubt", "conflict"]
EndState = Literal["done", "failed", "in_doubt"]


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one idempotency key.

    Attributes:
        key: The idempotency key, or a client's or business key in a tenant's scope.
        args_hash: Fingerprint of the arguments; the same key with others is a conflict.
        state: Where it stands.
        owner: Who won it last.
        fencing: Number of the last win, from 1.
        expires_at: When the owner's claim lapses; epoch seconds.
        result: What the call came to, where it is known to have happened.
        by: Who reconciled it.
        note: Text for people.
        keep_s: Seconds for which the result answers, from when it was stored; `None` for as long as the claim is kept.
        kept_until: When the result answers no more; epoch seconds. The next claim wins then, as if there were none.
    """

    key: str
    args_hash: str
    state: ClaimState
    owner: str
    fencing: int
    expires_at: float
    result: ToolResult | None = None
    by: str | None = None
    note: str | None = None
    keep_s: float | None = None
    kept_until: float | None = None


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a claim.

    Attributes:
        verdict: `won`: carry the call out under `claim.fencing`; `done`: use `claim.result`; `busy`: another owner
            is at it; `in_doubt`: reconcile, never repeat; `conflict`: the key was used with other arguments.
        claim: The claim as it stands now.
    """

    verdict: ClaimVerdict
    claim: Claim


class ClaimChange(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ending or reconciling a claim.

    Attributes:
        applied: Whether anything changed.
        why: If not: `unknown`, `fenced` (another owner took over), `ended`, or `not_in_doubt`.
        claim: The claim as it stands now, if there is one.
    """

    applied: bool
    why: Literal["unknown", "fenced", "ended", "not_in_doubt"] | None = None
    claim: Claim | None = None


def as_of(claim: Claim, now: float) -> Claim:
    """Return a claim as it is at a time; a claimed one whose lease has expired is in doubt."""
    if claim.state == "claimed" and claim.expires_at <= now:
        return msgspec.structs.replace(claim, state="in_doubt")
    return claim


def take(
    found: Claim | None,
    *,
    key: str,
    args_hash: str,
    owner: str,
    now: float,
    lease_s: float,
    repeatable: bool,
    keep_s: float | None = None,
) -> ClaimAnswer:
    """Return the answer to a claim; on `won` its claim is what to store.

    Args:
        found: What is stored under the key.
        key: The idempotency key.
        args_hash: Fingerprint of the arguments.
        owner: Unique to the attempt. The same owner wins a claim only once, even if it claims twice.
        now: Epoch seconds.
        lease_s: Seconds until the claim lapses unless it is renewed or ended.
        repeatable: Whether the tool declares that a second call does no harm; only then is doubt taken over.
        keep_s: Seconds for which the call's result answers later ones; `None` for as long as the claim is kept.
    """
    fencing = 1
    if found is not None and found.kept_until is not None and found.kept_until <= now:
        fencing = found.fencing + 1
    elif found is not None:
        found = as_of(found, now)
        # What failed cleanly did not happen: its business key is free, for corrected arguments too.
        if found.args_hash != args_hash and found.state != "failed":
            return ClaimAnswer(verdict="conflict", claim=found)
        match found.state:
            case "done" | "reconciled":
                return ClaimAnswer(verdict="done", claim=found)
            case "claimed":
                return ClaimAnswer(verdict="busy", claim=found)
            case "in_doubt" if not repeatable:
                return ClaimAnswer(verdict="in_doubt", claim=found)
            case _:
                fencing = found.fencing + 1
    won = Claim(
        key=key,
        args_hash=args_hash,
        state="claimed",
        owner=owner,
        fencing=fencing,
        expires_at=now + lease_s,
        keep_s=keep_s,
    )
    return ClaimAnswer(verdict="won", claim=won)


def renew(found: Claim | None, *, fencing: int, now: float, lease_s: float) -> Claim | None:
    """Return the claim with a later expiry; `None` if it lapsed, ended or was taken over."""
    if found is None or found.fencing != fencing or as_of(found, now).state != "claimed":
        return None
    return msgspec.structs.replace(found, expires_at=max(found.expires_at, now + lease_s))


def end(
    found: Claim | None,
    *,
    fencing: int,
    state: EndState,
    result: ToolResult | None,
    note: str | None,
    now: float,
) -> ClaimChange:
    """Return what an owner's report changes; a claim that lapsed but was not taken over still takes it.

    Raises:
        ValueError: If `done` comes without a result.
    """
    if state == "done" and result is None:
        raise ValueError("a claim that is done has a result; it answers the next claim")
    if found is None:
        return ClaimChange(applied=False, why="unknown")
    found = as_of(found, now)
    if found.fencing != fencing:
        return ClaimChange(applied=False, why="fenced", claim=found)
    if found.state not in ("claimed", "in_doubt"):
        return ClaimChange(applied=False, why="ended", claim=found)
    kept = result if state == "done" else None
    ended = msgspec.structs.replace(
        found,
        state=state,
        result=kept,
        note=note or found.note,
        kept_until=_kept_until(found, now) if state == "done" else None,
    )
    return ClaimChange(applied=True, claim=ended)


def reconcile(
    found: Claim | None, *, happened: bool, by: str, result: ToolResult | None, now: float
) -> ClaimChange:
    """Return what finding out about a call in doubt changes.

    Args:
        found: What is stored under the key.
        happened: Whether the effect is there.
        by: The function or person that found out.
        result: What the call came to; needed if it happened.
        now: Epoch seconds.

    Raises:
        ValueError: If it happened and no result is given.
    """
    if happened and result is None:
        raise ValueError("a reconciled call that happened has a result; it answers the next claim")
    if found is None:
        return ClaimChange(applied=False, why="unknown")
    found = as_of(found, now)
    if found.state != "in_doubt":
        return ClaimChange(applied=False, why="not_in_doubt", claim=found)
    state: ClaimState = "reconciled" if happened else "failed"
    known = msgspec.structs.replace(
        found,
        state=state,
        result=result if happened else None,
        by=by,
        kept_until=_kept_until(found, now) if happened else None,
    )
    return ClaimChange(applied=True, claim=known)


def _kept_until(claim: Claim, now: float) -> float | None:
    return None if claim.keep_s is None else now + claim.keep_s
