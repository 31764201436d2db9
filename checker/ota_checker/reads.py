"""Reads (I15): each shows one state inside its window, and nobody sees time go back.

Figures of pools are judged by the replay's versions: strictly, where the client asked the gateway
that had answered, or sent the OTA-Position that it had been given.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ota_checker.calls import SHARED_GATEWAY, Call
from ota_checker.model import Hold, Model, Pool
from ota_checker.verdicts import Verdicts

Shown = tuple[int, int, int]
"""A pool's number, its units available and its capacity (-1: not told)."""


@dataclass(slots=True)
class Reads:
    """Reads of figures, one entry for each pool shown; columns, for there are many."""

    invoked: array[int] = field(default_factory=lambda: array("q"))
    completed: array[int] = field(default_factory=lambda: array("q"))
    pools: array[int] = field(default_factory=lambda: array("q"))
    available: array[int] = field(default_factory=lambda: array("q"))
    capacity: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    decided: array[int] = field(default_factory=lambda: array("b"))
    """1 for refusals of the ledger, which see all that was answered before, whoever answered."""
    gateways: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    _etags: dict[tuple[str, str], tuple[Shown, ...]] = field(default_factory=dict)

    def take(self, call: Call, *, model: Model, channel: str | None) -> None:
        """Note what a read of the inventory showed."""
        if call.status == 304 and call.if_none_match is not None:
            shown = self._etags.get((channel or "", call.if_none_match), ())
        elif call.status == 200 and isinstance(call.body, dict) and channel is not None:
            shown = tuple(
                (pool.number, row["available"], row["capacity"])
                for row in call.body["inventory"]
                if (pool := model.pool_of.get((row["product_id"], channel))) is not None
            )
            if call.etag is not None:
                self._etags[channel, call.etag] = shown
        else:
            return
        for each in shown:
            self._add(call, each, decided=False)

    def take_refusal(self, call: Call, pool: Pool) -> None:
        """Note the figure in a refusal for want of units."""
        self._add(call, (pool.number, call.body["available"], -1), decided=True)

    def _add(self, call: Call, shown: Shown, *, decided: bool) -> None:
        self.invoked.append(call.invoked_ns)
        self.completed.append(call.completed_ns)
        self.pools.append(shown[0])
        self.available.append(shown[1])
        self.capacity.append(shown[2])
        self.lines.append(call.line)
        self.decided.append(decided)
        self.gateways.append(call.gateway)
        self.clients.append(call.client)
        self.tokens.append(call.told)


@dataclass(slots=True)
class Told:
    """Ledger events that a client was told of, and through which gateway."""

    completed: array[int] = field(default_factory=lambda: array("q"))
    seqs: array[int] = field(default_factory=lambda: array("q"))
    pools: array[int] = field(default_factory=lambda: array("q"))
    partitions: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    gateways: list[str] = field(default_factory=list)
    tokens: dict[str, dict[int, int]] = field(default_factory=dict)
    """The least that an OTA-Position stands for: ledger positions by partition."""

    def take(self, call: Call, hold: Hold) -> None:
        """Note an answer that told of units held or given back."""
        place = hold.place if call.op == "reserve" else hold.ledger_end_place
        if place is None:
            return
        self.completed.append(call.completed_ns)
        self.seqs.append(place[2])
        self.pools.append(hold.pool.number)
        self.partitions.append(place[1])
        self.lines.append(call.line)
        self.gateways.append(call.gateway)
        if call.answered is not None:
            marks = self.tokens.setdefault(call.answered, {})
            marks[place[1]] = max(marks.get(place[1], 0), place[2])

    def inherit(self, call: Call) -> None:
        """What a client sent is in what it gets."""
        if call.told in self.tokens and call.answered is not None and call.answered != call.told:
            marks = self.tokens.setdefault(call.answered, {})
            for partition, seq in self.tokens[call.told].items():
                marks[partition] = max(marks.get(partition, 0), seq)


class Sweep:
    """Goes once through time and judges each read by what had been told before it was sent."""

    def __init__(self, *, reads: Reads, told: Told, model: Model) -> None:
        self._reads = reads
        self._told = told
        self._model = model
        self._floors: dict[tuple[str, int], tuple[int, int]] = {}
        self._everywhere: dict[int, tuple[int, int]] = {}
        self._seen: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._versions = array("q", [-1]) * len(reads.lines)
        self._answers = sorted(range(len(told.seqs)), key=told.completed.__getitem__)
        self._ends = sorted(range(len(reads.lines)), key=reads.completed.__getitem__)
        self._answered = self._ended = 0
        self.strict = 0

    def run(self, verdicts: Verdicts) -> None:
        """Judge all reads."""
        reads = self._reads
        for index in sorted(range(len(reads.lines)), key=reads.invoked.__getitem__):
            self._advance(reads.invoked[index])
            verdicts.look("I15")
            self._judge(index, verdicts)
        verdicts.figures["reads_of_figures"] = len(reads.lines)
        verdicts.figures["reads_judged_strictly"] = self.strict

    def _advance(self, now: int) -> None:
        """Take in what was told, and seen, before *now*."""
        told, reads = self._told, self._reads
        while self._answered < len(self._answers):
            index = self._answers[self._answered]
            if told.completed[index] >= now:
                break
            mark = (told.seqs[index], told.lines[index])
            place = (told.gateways[index], told.pools[index])
            self._floors[place] = max(self._floors.get(place, mark), mark)
            partition = told.partitions[index]
            self._everywhere[partition] = max(self._everywhere.get(partition, mark), mark)
            self._answered += 1
        while self._ended < len(self._ends):
            index = self._ends[self._ended]
            if reads.completed[index] >= now:
                break
            if self._versions[index] >= 0 and not reads.decided[index]:
                who = (reads.clients[index], reads.gateways[index], reads.pools[index])
                seen = (self._versions[index], reads.lines[index])
                self._seen[who] = max(self._seen.get(who, seen), seen)
            self._ended += 1

    def _judge(self, index: int, verdicts: Verdicts) -> None:
        reads = self._reads
        pool = self._model.pools[reads.pools[index]]
        floor, because = self._floor(index, pool)
        self.strict += floor > 0
        capacity = reads.capacity[index] if reads.capacity[index] >= 0 else None
        available = reads.available[index]
        version = pool.first_showing(available=available, capacity=capacity, since=floor)
        if version is not None and pool.sent[version] <= reads.completed[index]:
            self._versions[index] = version
            return
        ever = pool.first_showing(available=available, capacity=capacity, since=0)
        shown = f"{available} units of pool {pool.number}"
        what = "a refusal named" if reads.decided[index] else "a read showed"
        if ever is None:
            rule = f"{what} {shown}, which it never had"
        elif version is not None or ever >= floor:
            rule = f"{what} {shown}, which it had only later"
        else:
            rule = f"{what} {shown}, older than line {because} of the history had told before"
        seqs = [pool.seqs[floor]] + ([pool.seqs[ever]] if ever is not None else [])
        verdicts.violate(
            "I15",
            rule,
            events=tuple(("inventory", pool.partition, seq) for seq in sorted(set(seqs))),
            calls=tuple(filter(None, (because, reads.lines[index]))),
        )

    def _floor(self, index: int, pool: Pool) -> tuple[int, int]:
        """Return the oldest version that this read may show, and the line that says so."""
        reads, partition = self._reads, pool.partition
        marks: list[tuple[int, int]] = []
        if reads.decided[index]:
            marks.append(self._everywhere.get(partition, (0, 0)))
        gateway = reads.gateways[index]
        if gateway != SHARED_GATEWAY:
            marks.append(self._floors.get((gateway, pool.number), (0, 0)))
        token = reads.tokens[index]
        if token is not None:
            marks.append((self._told.tokens.get(token, {}).get(partition, 0), 0))
        seq, line = max(marks, default=(0, 0))
        floor, because = max(pool.version_at(seq), 0), line
        if gateway != SHARED_GATEWAY and not reads.decided[index]:
            seen = self._seen.get((reads.clients[index], gateway, pool.number))
            if seen is not None and seen[0] > floor:
                floor, because = seen
        return floor, because
