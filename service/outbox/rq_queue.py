"""RQ's queues and jobs, in JSON."""

from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from service.outbox.queues import MailQueue

NAMESPACE = "payment-links"
"""The prefix of our names in RQ's Redis, which others may use too."""


class JsonJob(Job):
    """A job in JSON, whoever creates it: RQ and rq-scheduler pickle by default."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer)
        super().__init__(*args, **kwargs)


class JsonQueue(Queue):
    """A queue of JSON jobs that contains each job at most once."""

    job_class = JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer, job_class=JsonJob)
        super().__init__(*args, **kwargs)

    def enqueue_job(self, job: Job, *args: Any, **kwargs: Any) -> Job:
        """Enqueues ``job`` unless it waits already: one scan makes up for all missed ones."""
        if self.get_job_position(job) is not None:
            return job
        return super().enqueue_job(job, *args, **kwargs)


def rq_queue_name(queue: MailQueue) -> str:
    """The name of the queue in RQ."""
    return f"{NAMESPACE}-{queue.name}"


def open_rq_queue(queue: MailQueue, connection: Redis) -> JsonQueue:
    """The queue in RQ."""
    return JsonQueue(rq_queue_name(queue), connection=connection)
