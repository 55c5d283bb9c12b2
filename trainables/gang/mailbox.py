"""The mailbox between a Tune trial and the gang that trains it: a small async actor.

The trial posts jobs and collects messages; worker 0 of the gang takes jobs and puts messages. The box keeps
the current job until it is done, so a gang that was restarted in mid-trial receives the same job again.
"""

import asyncio
from typing import Any

from ire.trial.message import Message
from trainables.gang.job import Job


class Mailbox:
    """Made an actor by `trainables.gang.trainable`; every method may be waited on concurrently."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._job: Job | None = None
        self._number = 0  # of the current job; 0 means none
        self._done = False
        self._closed = False
        self._messages: list[Message] = []
        self._requests = 0  # messages asked for; a request after a message means: go on
        self._delivered = 0
        self._workers: list[Any] = []  # actor handles of the gang that took the job
        self._diagnoses: dict[int, str] = {}  # by rank

    # The trial's side

    async def post(self, job: Job) -> int:
        """Replace the current job, whatever its state, and return the new one's number."""
        async with self._changed:
            self._job, self._done, self._messages = job, False, []
            self._number += 1
            self._requests = self._delivered = 0
            self._workers, self._diagnoses = [], {}
            self._changed.notify_all()
            return self._number

    async def collect(self, number: int, timeout: float) -> Message | None:
        """The next message of job `number`, or None after `timeout` seconds without one."""
        async with self._changed:
            self._requests = self._delivered + 1
            self._changed.notify_all()
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self._messages or number != self._number), timeout
                )
            except TimeoutError:
                return None
            if number != self._number:
                return None
            self._delivered += 1
            return self._messages.pop(0)

    async def workers(self) -> list[Any]:
        """The actors that work on the current job; empty until a gang has taken it."""
        return list(self._workers)

    async def diagnoses(self) -> str:
        """Return the diagnoses of workers that hung on the current job, and forget them."""
        diagnoses = "\n".join(f"worker {rank}: {text}" for rank, text in sorted(self._diagnoses.items()))
        self._workers, self._diagnoses = [], {}
        return diagnoses

    async def close(self) -> None:
        """Abandon the current job and end the gang."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    # The gang's side

    async def take(self, finished: int) -> tuple[int, Job] | None:
        """The current job and its number, as soon as there is one that is not done; None when closed.

        `finished` is the last job that this gang has ended or abandoned.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or (self._number > finished and not self._done and self._job is not None)
            )
            return None if self._closed or self._job is None else (self._number, self._job)

    async def began(self, number: int, rank: int, worker: Any, placement_group: str | None) -> None:
        """Worker `rank`, an actor handle, has begun job `number`; the message of the first worker is passed on."""
        async with self._changed:
            if self._stands(number):
                self._workers.append(worker)
                if rank == 0:
                    self._messages.append(Message(placement_group=placement_group))
                    self._changed.notify_all()

    async def hung(self, number: int, rank: int, diagnosis: str) -> None:
        """A worker hangs on job `number` and will exit."""
        if number == self._number:
            self._diagnoses[rank] = diagnosis

    async def put(self, number: int, message: Message, wait: bool) -> bool:
        """Deliver a message of job `number`; returns whether the job is still current.

        A message marked `last` ends the job. With `wait` the answer is held back until the trial has decided: it asks
        for the next message (go on), or posts another job or closes (stop).
        """
        async with self._changed:
            if not self._stands(number):
                return False
            self._messages.append(message)
            self._done = message.last
            position = self._delivered + len(self._messages)
            self._changed.notify_all()
            if wait and not self._done:
                await self._changed.wait_for(lambda: not self._stands(number) or self._requests > position)
            return self._stands(number)

    def _stands(self, number: int) -> bool:
        return not self._closed and number == self._number and not self._done
