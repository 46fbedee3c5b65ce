"""Python Celery on Redis: the worker that throughput and round trips are compared with, and the client of both.

Names and options come from the environment, so that both workers do the same. Run as a program it is the client:
  redis_peer.py sample            publish two messages, print the number and id of each as JSON
  redis_peer.py round-trip COUNT  delay() and get(), one after the other; print the seconds of each as JSON
"""
import json
import mmap
import os
import sys
import time

from celery import Celery

app = Celery("noop", broker=os.environ["UMBEL_BENCH_BROKER"], backend=os.environ.get("UMBEL_BENCH_BACKEND") or None)
app.conf.task_acks_late = True
app.conf.worker_hijack_root_logger = False

_marks = None
_tasks = int(os.environ.get("UMBEL_BENCH_TASKS", "0"))


def _open_marks():
    """One file per process and one byte per task: written by the kernel even if this process is killed."""
    folder = os.environ["UMBEL_BENCH_RECORDS"]
    with open(os.path.join(folder, f"{os.getpid()}.first"), "w") as first:
        first.write(str(time.monotonic_ns()))
    path = os.path.join(folder, f"{os.getpid()}.seen")
    with open(path, "wb") as file:
        file.truncate(_tasks)
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), _tasks)


@app.task(name="noop.noop")
def noop(number):
    global _marks
    if _tasks == 0:
        return None
    if _marks is None:
        _marks = _open_marks()
    _marks[number] += 1
    return None


def _sample():
    sent = [{"number": number, "id": noop.delay(number).id} for number in (7, 123456)]
    print(json.dumps(sent))


def _round_trip(count):
    times = []
    for _ in range(count):
        started = time.perf_counter()
        noop.delay(0).get(timeout=30)
        times.append(time.perf_counter() - started)
    print(json.dumps(times))


if __name__ == "__main__":
    if sys.argv[1] == "sample":
        _sample()
    else:
        _round_trip(int(sys.argv[2]))
