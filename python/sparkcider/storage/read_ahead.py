"""Threads that read ahead of one consumer, in order, within a budget of bytes.

Threads start when there is work for them and end with `close`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""That `close` waits for requests in flight; a thread whose server is silent ends when its request does."""


class Ticket(Generic[T]):
    """A piece of work on its way; `ReadAhead.result` has its outcome."""

    __slots__ = ("done", "error", "reservation", "result", "work")

    def __init__(self, work: Callable[[Reservation, int], T], reservation: Reservation) -> None:
        self.work = work
        self.reservation = reservation
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


class Reservation:
    """The bytes that one piece of work holds."""

    __slots__ = ("_budget", "_granted", "_number", "held")

    def __init__(self, budget: _Budget, number: int) -> None:
        self._budget = budget
        self._number = number
        self._granted = False
        self.held = 0

    def reserve(self, total: int) -> None:
        """Holds so many bytes in all; the first call waits until there is room, later ones only grow."""
        if not self._granted:
            self._budget.take(self._number, total)
            self._granted, self.held = True, total
        elif total > self.held:
            self._budget.grow(total - self.held)
            self.held = total

    def sleep(self, seconds: float) -> bool:
        """Waits; False if nobody wants the result any more."""
        return not self._budget.closed.wait(seconds)


class _Budget:
    """Bytes of work whose result was not taken yet.

    Room is given in the order of the numbers. The piece that is due next gets it in any case: those after it may hold
    all of the budget, and are not taken before it is.
    """

    def __init__(self, limit: int) -> None:
        self.closed = threading.Event()
        self._limit = limit
        self._lock = threading.Lock()
        self._held = 0
        self._due = 0
        self._waiting: dict[int, tuple[int, threading.Lock]] = {}

    def take(self, number: int, size: int) -> None:
        """Waits for room."""
        gate = threading.Lock()
        gate.acquire()
        with self._lock:
            self._waiting[number] = (size, gate)
            self._grant()
        gate.acquire()

    def grow(self, size: int) -> None:
        """Takes more without waiting: how much there would be was not known."""
        with self._lock:
            self._held += size

    def give_back(self, size: int) -> None:
        """Frees what the piece that was due held: the next one is due."""
        with self._lock:
            self._held -= size
            self._due += 1
            self._grant()

    def close(self) -> None:
        """Lets all go that wait."""
        self.closed.set()
        with self._lock:
            self._grant()

    def _grant(self) -> None:
        for number in sorted(self._waiting):
            size, gate = self._waiting[number]
            fits = number == self._due or self._held + size <= self._limit
            if not fits and not self.closed.is_set():
                return
            del self._waiting[number]
            self._held += size
            gate.release()


class ReadAhead(Generic[T]):
    """Does pieces of work side by side; one thread submits them and takes their results, in the same order."""

    def __init__(self, threads: int, max_bytes: int) -> None:
        """Starts nothing.

        Args:
            threads: Most pieces at a time.
            max_bytes: Most bytes that pieces hold whose result was not taken, but for those of the one that is due.
        """
        self._most = threads
        self._budget = _Budget(max_bytes)
        self._changed = threading.Condition()
        self._queue: deque[Ticket[T]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._submitted = 0

    def submit(self, work: Callable[[Reservation, int], T]) -> Ticket[T]:
        """Queues a piece of work: a function of its reservation and the number of its thread."""
        ticket = Ticket(work, Reservation(self._budget, self._submitted))
        self._submitted += 1
        with self._changed:
            self._queue.append(ticket)
            if len(self._queue) > self._idle and len(self._threads) < self._most:
                thread = threading.Thread(
                    target=self._run, args=(len(self._threads),), name="sparkcider-read", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            else:
                self._changed.notify()
        return ticket

    def result(self, ticket: Ticket[T]) -> T:
        """Waits for the oldest ticket whose result was not taken; raises what its work raised."""
        ticket.done.wait()
        self._budget.give_back(ticket.reservation.held)
        if ticket.error is not None:
            raise ticket.error
        return cast("T", ticket.result)

    def close(self) -> None:
        """Drops the work that no thread has begun, and ends the threads."""
        self._budget.close()
        with self._changed:
            self._queue.clear()
            self._changed.notify_all()
        end = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, number: int) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._budget.closed.is_set():
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                if self._budget.closed.is_set():
                    return
                ticket = self._queue.popleft()
            try:
                ticket.result = ticket.work(ticket.reservation, number)
            except BaseException as error:  # noqa: BLE001 - the consumer raises it
                ticket.error = error
            ticket.done.set()
            del ticket  # its result must not live until the next one
