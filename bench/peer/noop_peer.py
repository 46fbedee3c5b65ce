"""Python Celery on Redis or RabbitMQ: the worker that throughput and round trips are compared with, and the client of both.

Names and options come from the environment, so that both workers do the same. Run as a program it is the client:
  noop_peer.py sample            publish two messages, print the number and id of each as JSON
  noop_peer.py round-trip COUNT [BROKER BACKEND]…  delay() and get() on each broker in turn; print the seconds of each as JSON
"""
import gc
import json
import mmap
import os
import random
import sys
import time

from celery import Celery

app = Celery("noop", broker=os.environ["UMBEL_BENCH_BROKER"], backend=os.environ.get("UMBEL_BENCH_BACKEND") or None)
app.conf.task_acks_late = True
app.conf.worker_hijack_root_logger = False

_marks = None
_last = None
_tasks = int(os.environ.get("UMBEL_BENCH_TASKS", "0"))


def _open_marks():
    """Files of each process, one with a byte per task: written by the kernel even if this process is killed."""
    folder = os.environ["UMBEL_BENCH_RECORDS"]
    with open(os.path.join(folder, f"{os.getpid()}.first"), "w") as first:
        first.write(str(time.monotonic_ns()))
    last = _mapped(os.path.join(folder, f"{os.getpid()}.last"), 20)
    return _mapped(os.path.join(folder, f"{os.getpid()}.seen"), _tasks), last


def _mapped(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), size)


@app.task(name="noop.noop")
def noop(number):
    global _marks, _last
    if _tasks == 0:
        return None
    if _marks is None:
        _marks, _last = _open_marks()
    _marks[number] += 1
    _last[:] = b"%020d" % time.monotonic_ns()
    return None


def _sample():
    sent = [{"number": number, "id": noop.delay(number).id} for number in (7, 123456)]
    print(json.dumps(sent))


def _nothing(number):
    return None


def _round_trip(count, places):
    """In turns, so that whatever else the machine does falls on all of them alike.

    Each turn has an order of its own, by a fixed seed: who comes after whom makes 3 to 4 %.

    Python's collector runs in the pauses. Left alone it runs every 42nd time or so, and then as many results that nobody needs any more unsubscribe
    from Redis at once: 5 ms in the client, whatever the worker does, and often enough to be all that a p99 shows.
    """
    clients = []
    for broker, backend in places:
        client = Celery("noop", broker=broker, backend=backend, set_as_current=False)
        clients.append((client.task(name="noop.noop")(_nothing), []))
    gc.collect()
    gc.freeze()
    order = random.Random(1)
    for _ in range(count):
        for task, times in order.sample(clients, len(clients)):
            gc.collect()
            # An idle worker is one that has had the time to fall asleep.
            time.sleep(0.002)
            started = time.perf_counter()
            task.delay(0).get(timeout=30)
            times.append(time.perf_counter() - started)
    print(json.dumps([times for _, times in clients]))


if __name__ == "__main__":
    if sys.argv[1] == "sample":
        _sample()
    else:
        _round_trip(int(sys.argv[2]), list(zip(sys.argv[3::2], sys.argv[4::2])))
