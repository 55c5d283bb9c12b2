"""Batches made ready in the background while the device computes."""

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_END = object()

_making: weakref.WeakKeyDictionary[threading.Thread, threading.Event] = weakref.WeakKeyDictionary()
"""The threads that make items, each with the event that ends it."""

LAST_ITEM_SECONDS = 30.0
"""How long the exiting process waits for an item that is being made."""


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    One thread makes them; it ends when the returned iterator is closed or forgotten. An exception of `items` is
    raised where the item would have come.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def put(value: tuple[object, BaseException | None]) -> bool:
        while not closed.is_set():
            try:
                ready.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:
            put((_END, error))

    thread = threading.Thread(target=make, name="batches-ahead", daemon=True)
    _making[thread] = closed
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        closed.set()


@atexit.register
def _end() -> None:
    """End all threads before Python exits: a thread still inside torch would abort the process."""
    making = dict(_making)
    for closed in making.values():
        closed.set()
    for thread in making:
        thread.join(LAST_ITEM_SECONDS)


def close(items: Iterator[Any]) -> None:
    """End the threads and processes behind a stream now; an iterator that cannot be closed has none."""
    if end := getattr(items, "close", None):
        end()


def mapped(function: Callable[[T], R], items: Iterator[T], *, threads: int, depth: int) -> Iterator[R]:
    """`function` of every item, in order, `threads` at a time and at most `depth` ahead."""
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: queue.Queue[Future[R]] = queue.Queue()
        try:
            for item in items:
                waiting.put(pool.submit(function, item))
                if waiting.qsize() >= depth:
                    yield waiting.get().result()
            while not waiting.empty():
                yield waiting.get().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
