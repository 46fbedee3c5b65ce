/**
 * What becomes of requests whose messages the broker took away.
 *
 * Two kinds of loss. A lease that ran out (SQLite, Redis): somebody else has the message, so its run here must not count. A connection that broke
 * (RabbitMQ): the message is delivered again, here or elsewhere; what runs goes on, as in Celery, and what has not begun is forgotten. Which of
 * them come again to a task of this worker is consumer/orphans.ts.
 */
import type { Broker, Delivery } from '../broker/broker.ts';
import type { Logger } from '../log/logger.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import type { Orphans } from './orphans.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Request } from './request.ts';
import type { TaskNews } from './task-news.ts';

export interface LostDeliveriesParams {
  readonly broker: Broker;
  readonly pool: Pool;
  readonly rateLimits: Pick<RateLimiter, 'withdraw'>;
  readonly orphans: Orphans;
  /** Requests by delivery. */
  readonly held: ReadonlyMap<Delivery, { readonly request: Request; readonly job: Job }>;
  /** End running tasks that are acknowledged late when the connection is lost. */
  readonly cancelRunning: boolean;
  readonly news: Pick<TaskNews, 'cancelled'>;
  readonly log: Logger;
}

export class LostDeliveries {
  readonly #params: LostDeliveriesParams;

  constructor(params: LostDeliveriesParams) {
    this.#params = params;
    params.broker.onStateChange((state) => {
      if (state === 'lost') this.#rememberAcknowledged();
    });
  }

  /** A server that crashed may have forgotten the acknowledgement of what runs here. */
  #rememberAcknowledged(): void {
    for (const { request } of this.#params.held.values()) if (request.acknowledged) this.#params.orphans.goesOn(request);
  }

  onLost(deliveries: readonly Delivery[]): void {
    const { broker, pool, rateLimits, held, orphans, cancelRunning, log } = this.#params;
    const redelivers = broker.features.redelivers === true;
    let forgotten = 0;
    let running = 0;
    for (const delivery of deliveries) {
      const lost = held.get(delivery);
      if (lost === undefined) {
        orphans.lost(delivery);
        continue;
      }
      const { request, job } = lost;
      // One that has left its child has ended: its end is recorded.
      const canBeCancelled = cancelRunning && request.offer.acksLate && job.child !== null;
      if (redelivers && request.state === 'active' && !canBeCancelled) {
        orphans.goesOn(request);
        running += 1;
        continue;
      }
      request.lost = true;
      job.withdrawn = true;
      if (!redelivers) this.#takenAway(request, job);
      else {
        orphans.leaves(request);
        if (request.state === 'active') this.#cancel(request, job);
        else forgotten += 1;
      }
    }
    rateLimits.withdraw();
    pool.withdraw();
    if (running + forgotten > 0)
      log.warning(
        'consumer.held-lost',
        `consumer: RabbitMQ delivers again what this worker held: ${running} running tasks go on, ${forgotten} that have not begun are forgotten`,
        { running, forgotten },
      );
  }

  #takenAway(request: Request, job: Job): void {
    this.#params.pool.abort(job, 'the message was taken away from this worker');
    const what = request.state === 'active' ? 'its run here will not count' : 'it is not started here';
    this.#params.log.warning('task.lost', `${request.label}: the broker took the message away; ${what}`, {
      taskId: job.taskId,
      taskName: job.taskName,
    });
  }

  #cancel(request: Request, job: Job): void {
    this.#params.log.warning(
      'task.cancelled',
      `${request.label}: the connection was lost, so it cannot be acknowledged any more and is ended; it is delivered again`,
      { taskId: job.taskId, taskName: job.taskName },
    );
    this.#params.news.cancelled(request);
    this.#params.pool.cancel(job, 'the connection to the broker was lost');
  }
}
