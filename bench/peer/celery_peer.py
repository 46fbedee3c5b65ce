"""The same no-op worker in Python Celery: what start-up time and memory of a child are compared with."""
from celery import Celery

app = Celery("celery_peer")


@app.task
def noop(number):
    return None
