/**
 * Tasks whose messages went with a lost connection and will be delivered again (RabbitMQ), to this worker or to another.
 *
 * Owns what is known of them: those that still run here, which must not be started a second time beside themselves, and those that ended here and could
 * not be acknowledged, which need not run again. A message is known again by task id and number of retries, and only when it is marked redelivered: a
 * retry has the same id and is another message.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import type { Request } from './request.ts';
import type { Decision } from './strategy.ts';

export interface OrphansParams {
  readonly broker: Broker;
  readonly log: Logger;
}

/** How the message of a task that has ended was to be settled. Not 'requeue': that is what has happened to it. */
type FinalAction = 'ack' | 'drop';

/** Messages that went to another worker are never heard of again. */
const mostRemembered = 10_000;

export class Orphans {
  readonly #params: OrphansParams;
  readonly #running = new Map<string, Request>();
  readonly #ended = new Map<string, FinalAction>();

  constructor(params: OrphansParams) {
    this.#params = params;
  }

  /** The message of a request is lost. true: it runs and goes on, because nobody else has the message yet. */
  goesOn(request: Request): boolean {
    if (request.state !== 'active' || this.#params.broker.features.redelivers !== true) return false;
    remember(this.#running, keyOf(request.header), request);
    return true;
  }

  /** An acknowledgement had no effect. `early`: the task has only begun. */
  stale(request: Request, action: FinalAction | 'requeue', early: boolean): void {
    if (early && this.goesOn(request)) return;
    request.lost = true;
    const key = keyOf(request.header);
    this.#running.delete(key);
    // Its end is recorded: before a late acknowledgement it always is, after an early one where it was let go on.
    if (action !== 'requeue' && (!early || this.#params.broker.features.redelivers === true)) remember(this.#ended, key, action);
  }

  /** true: the message belongs to a task that runs here, or ended here, and has been dealt with. `held` are the requests by delivery. */
  reunite<H extends { readonly request: Request }>(
    delivery: Delivery,
    decision: Decision,
    held: Map<Delivery, H>,
    subscription: Pick<Subscription, 'ack' | 'reject'> | null,
  ): boolean {
    if (this.#running.size + this.#ended.size === 0 || !delivery.redelivered || !('header' in decision)) return false;
    const { header } = decision;
    const key = keyOf(header);
    const request = this.#running.get(key);
    this.#running.delete(key);
    if (request?.state === 'active') {
      const entry = held.get(request.delivery);
      held.delete(request.delivery);
      if (entry !== undefined) held.set(delivery, entry);
      request.delivery = delivery;
      if (!request.offer.acksLate) this.#settle(subscription, delivery, header, 'ack');
      this.#say(header, 'is running here');
      return true;
    }
    // Acknowledged early, in vain, and over since.
    const action = this.#ended.get(key) ?? (request !== undefined && !request.offer.acksLate ? 'ack' : undefined);
    if (action === undefined) return false;
    this.#ended.delete(key);
    this.#settle(subscription, delivery, header, action);
    this.#say(header, 'has ended here');
    return true;
  }

  #settle(subscription: Pick<Subscription, 'ack' | 'reject'> | null, delivery: Delivery, header: TaskHeader, action: FinalAction): void {
    const settled = action === 'ack' ? subscription?.ack(delivery) : subscription?.reject(delivery, { requeue: false });
    settled?.catch((error: unknown) =>
      this.#params.log.error('message.settle-failed', `Couldn't ack '${header.id}', reason: ${messageOf(error)}`),
    );
  }

  #say(header: TaskHeader, what: string): void {
    this.#params.log.info(
      'task.redelivered',
      `${header.task}[${header.id}] was delivered again and ${what}: it is not started a second time`,
      { taskId: header.id, taskName: header.task },
    );
  }
}

function keyOf(header: TaskHeader): string {
  return `${header.id} ${header.retries}`;
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= mostRemembered) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
