"""A partner's quota, shared by all gateways: what of the limit is used, and who holds the rest.

Never more than the limit in any 60 seconds (contract, section 1). Calls that were reported
count for 60 s from when they were made. What a gateway has leased and not yet reported
counts as well, so it may use that without asking; what it could not report before it died
counts as used. Whenever a gateway reports, it gets or gives back a slice:

    reported in the last 60 s + leased by all gateways <= limit

Instants are milliseconds of the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

WINDOW_MS = 60_000
BUCKET_MS = 500
LEASE_MS = 60_000
"""A lease that was not renewed for so long is over; its holder stops a little earlier."""

ALONE_PERCENT = 10
STRANDED_PERCENT = 5
"""What the idle leases of all gateways but one may come to, when there are several."""

Used = tuple[tuple[int, int], ...]
"""Until when so many calls count, the soonest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one gateway holds; *granted* and *reported* count from the start of its process."""

    instance: int
    incarnation: str
    granted: int
    reported: int
    seen_ms: int

    @property
    def open(self) -> int:
        """Calls that it may have let pass without having reported them."""
        return self.granted - self.reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """All that is known of one partner's calls."""

    used: Used = ()
    leases: tuple[Lease, ...] = ()


UNUSED = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuota:
    """A quota as it is stored; *version* 0 means that it is not yet. *now_ms*: when it was read."""

    partner_id: str
    version: int
    quota: Quota
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a gateway let pass: *calls* as (age, number), the oldest first.

    *after* is how many calls of this process were reported before, as far as it knows.
    """

    instance: int
    incarnation: str
    after: int
    calls: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """Calls of this process that are known once this is recorded."""
        return self.after + sum(number for _, number in self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a gateway wants to hold.

    *spent* was used since the report was made, *waiting* requests could not be served, and
    *pace* is what the next moment is likely to need. Who is *leaving* needs nothing more.
    """

    spent: int = 0
    waiting: int = 0
    pace: int = 0
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The quota afterwards, and what it means to the gateway that reported.

    *granted* counts from the start of its process, *free* is held by nobody (negative after
    the limit was lowered), *share* is what it should hold when nothing happens.
    """

    quota: Quota
    granted: int
    free: int
    share: int
    contested: bool


def settle(quota: Quota, report: Report, need: Need, *, limit: int, now_ms: int) -> Settlement:
    """Record what a gateway reports and fix what it holds from now on."""
    used = _counting(quota.used, now_ms)
    own: Lease | None = None
    others: list[Lease] = []
    for lease in quota.leases:
        if (lease.instance, lease.incarnation) == (report.instance, report.incarnation):
            own = lease
        elif lease.instance == report.instance or lease.seen_ms + LEASE_MS <= now_ms:
            _close(used, lease, now_ms)
        else:
            # A clock that was set back must not make a lease last longer.
            others.append(replace(lease, seen_ms=min(lease.seen_ms, now_ms)))
    _record(used, report, recorded=own.reported if own is not None else 0, now_ms=now_ms)
    share = share_of(limit, gateways=len(others) + 1)
    room = limit - sum(used.values()) - sum(lease.open for lease in others)
    held = max(need.spent, _wanted(need, share=share, room=max(0, room), others=len(others)))
    granted = report.total + held
    mine = Lease(
        instance=report.instance,
        incarnation=report.incarnation,
        granted=granted,
        reported=report.total,
        seen_ms=now_ms,
    )
    gone = need.leaving and not held
    return Settlement(
        quota=Quota(
            used=tuple(sorted(used.items())), leases=tuple(others) if gone else (*others, mine)
        ),
        granted=granted,
        free=room - held,
        share=share,
        contested=any(lease.open for lease in others),
    )


def share_of(limit: int, *, gateways: int) -> int:
    """Return how much one of several gateways holds when nothing happens.

    What all but one of them hold can be unused when that one has used the rest.
    """
    if gateways == 1:
        return -(-limit * ALONE_PERCENT // 100)
    return limit * STRANDED_PERCENT // 100 // (gateways - 1)


def _wanted(need: Need, *, share: int, room: int, others: int) -> int:
    if need.leaving:
        return 0
    pace = need.pace
    if others:  # nobody takes much ahead of what another may need
        pace = min(pace, -(-room * STRANDED_PERCENT // 100))
    return min(room, max(share, pace) + need.waiting)


def _counting(used: Used, now_ms: int) -> dict[int, int]:
    """Return what still counts. No call counts longer than a window, even if the clock was back."""
    latest = _until(now_ms)
    counting: dict[int, int] = {}
    for until, calls in used:
        if until > now_ms:
            until = min(until, latest)
            counting[until] = counting.get(until, 0) + calls
    return counting


def _record(used: dict[int, int], report: Report, *, recorded: int, now_ms: int) -> None:
    """Count what is reported, but not what a report has brought whose answer was lost."""
    known = max(0, recorded - report.after)
    for age_ms, calls in report.calls:
        new = max(0, calls - known)
        known -= calls - new
        _count(used, new, until=_until(now_ms - max(0, age_ms)), now_ms=now_ms)


def _close(used: dict[int, int], lease: Lease, now_ms: int) -> None:
    """Count what a gateway held and can't report any more, as used at its last possible moment."""
    until = _until(min(now_ms, lease.seen_ms + LEASE_MS))
    _count(used, lease.open, until=until, now_ms=now_ms)


def _count(used: dict[int, int], calls: int, *, until: int, now_ms: int) -> None:
    if calls > 0 and until > now_ms:
        used[until] = used.get(until, 0) + calls


def _until(at_ms: int) -> int:
    # Later, never earlier: what is left of a millisecond was cut off.
    return (at_ms // BUCKET_MS + 1) * BUCKET_MS + WINDOW_MS
