"""Tasks in processes of their own that say how they go and never outlive the one that asked.

Needs no torch, so that a process notices the end of its parent while it still imports.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from vesica.errors import DataError, Stopped

ASK_EVERY_S = 0.2
GRACE_S = 8.0
"""For the step under way and the checkpoint of a process whose parent has ended."""

ShouldStop = Callable[[], bool]
Tell = Callable[[Any], None]
MakeWork = Callable[[ShouldStop], Callable[[Any, Tell], Any]]
"""Called once in each process; what it returns is called with a task and somebody to tell news."""

_ending = threading.Event()
"""In a worker: it is to end, whatever its parent says."""


def run_in_processes(
    tasks: Sequence[Any],
    make_work: MakeWork,
    num_processes: int,
    *,
    on_news: Callable[[int, Any], None],
    on_result: Callable[[int, Any], None],
    should_stop: ShouldStop,
) -> None:
    """Do every task, so many at once.

    Args:
        tasks: Anything that can be pickled.
        make_work: A function of a module, or a partial of one. The work raises `Stopped` soon
            after it was asked to stop.
        num_processes: Started anew, as forked ones may not use PyTorch's threads.
        on_news: Called with a task's place and what the work tells of it.
        on_result: Called with a task's place and its result.
        should_stop: Asked again and again.

    Raises:
        Stopped: If `should_stop` said so, when all processes have ended.
        DataError: If a process was killed.
    """
    _start_tracker()
    context = multiprocessing.get_context("spawn")
    news, stop = context.SimpleQueue(), context.Event()
    others = multiprocessing.active_children()
    executor = ProcessPoolExecutor(num_processes, context, _begin, (news, stop))
    workers: list[BaseProcess] = []
    waiting: dict[Future[Any], int] = {}
    try:
        with _without_main():
            for place, task in enumerate(tasks):
                waiting[executor.submit(_do, make_work, place, task)] = place
                known = {*others, *workers}
                workers += [w for w in multiprocessing.active_children() if w not in known]
        _follow(waiting, news, stop, on_news, on_result, should_stop)
    except BrokenProcessPool:
        executor.shutdown()
        # The others were told to end, by SIGTERM, and did so with 1.
        codes = [worker.exitcode or 0 for worker in workers]
        code = next(
            (code for code in codes if code not in (0, 1, -signal.SIGTERM)), max(codes, default=0)
        )
        raise DataError(
            f"a process ended with code {code}, perhaps for lack of memory; run the same command "
            "again with --jobs 1"
        ) from None
    except BaseException:
        for worker in workers:
            worker.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not import the main script again, which is a user's.

    It may take long to import, while a process does not watch its parent yet, or it may do all of
    its work again where it has no `if __name__ == "__main__"`. No task needs it: functions of the
    user's own are found in their files.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {
        name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _follow(
    waiting: dict[Future[Any], int],
    news: Any,
    stop: Any,
    on_news: Callable[[int, Any], None],
    on_result: Callable[[int, Any], None],
    should_stop: ShouldStop,
) -> None:
    """Pass on what comes until no task is left; the first problem stops the others."""
    problem: BaseException | None = None
    while waiting:
        if problem is None and should_stop():
            problem = Stopped()
        if problem is not None:
            stop.set()
            for future in waiting:
                future.cancel()
        done, _ = wait(waiting, ASK_EVERY_S, FIRST_COMPLETED)
        while not news.empty():  # all that was told before these were done
            on_news(*news.get())
        for future in done:
            place = waiting.pop(future)
            if future.cancelled():
                continue
            if (error := future.exception()) is None:
                on_result(place, future.result())
            elif problem is None or isinstance(problem, Stopped):
                problem = error
    if problem is not None:
        raise problem


def _start_tracker() -> None:
    """Start what frees semaphores after a kill, in silence: it would tell a user of leaks."""
    if os.name == "posix":
        sys.warnoptions.append("ignore:resource_tracker")
        try:
            resource_tracker.ensure_running()
        finally:
            sys.warnoptions.remove("ignore:resource_tracker")


def _begin(news: Any, stop: Any) -> None:
    """Start in a new process: a thread that waits for the end of its parent."""
    global _news, _stop
    _news, _stop = news, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent asks, at the end of a step
    signal.signal(signal.SIGTERM, lambda number, frame: _end_soon())
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _end_soon()


def _end_soon() -> None:
    _ending.set()
    if not _is_busy:
        os._exit(1)
    threading.Thread(target=_end_at_last, daemon=True).start()


def _end_at_last() -> None:
    time.sleep(GRACE_S)
    os._exit(1)


_news: Any = None
_stop: Any = None
_work: Callable[[Any, Tell], Any] | None = None
_is_busy = False


def _should_stop() -> bool:
    return _ending.is_set() or bool(_stop.is_set())


def _do(make_work: MakeWork, place: int, task: Any) -> Any:
    """Do one task in a worker."""
    global _work, _is_busy
    _is_busy = True
    try:
        if _should_stop():
            raise Stopped
        _work = _work or make_work(_should_stop)
        return _work(task, lambda value: None if _should_stop() else _news.put((place, value)))
    finally:
        _is_busy = False
        if _ending.is_set():  # there is nobody to give it to
            os._exit(1)
