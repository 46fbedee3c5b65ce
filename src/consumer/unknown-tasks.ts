/**
 * Messages for tasks that no module of this worker has: a mistake, or a deploy that other workers have seen already.
 *
 * Owns the policies (worker.unknown_tasks). Put back, a message carries since when its task is unknown and when to look again, so that the
 * bound holds over any number of workers; until then it is the broker's, and one that knows the task may get it earlier.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts';
import { type DeadLetters, withoutOwn } from '../broker/dead-letters.ts';
import type { Logger } from '../log/logger.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { escapeControls } from '../std/escape-controls.ts';
import type { LostTask } from './lost-follow-ups.ts';

export type UnknownTaskPolicy = 'reject' | 'requeue' | 'dead' | 'discard';

export interface UnknownTasksParams {
  readonly policy: UnknownTaskPolicy;
  /** With 'requeue': between two looks, and how long it is tried. */
  readonly delayMs: number;
  readonly timeoutMs: number;
  readonly broker: Broker;
  readonly deadLetters: DeadLetters;
  readonly nodeName: string;
  /** Queues of this worker alone: nobody else will ever get their messages. */
  isBroadcast(queue: string): boolean;
  /** Tell whoever waits for the result. */
  storeNotRegistered(task: LostTask): Promise<unknown>;
  readonly log: Logger;
  /** Unix milliseconds; default: the system's clock. */
  readonly now?: () => number;
}

type Settling = Pick<Subscription, 'ack' | 'reject' | 'defer'>;

export class UnknownTasks {
  readonly #params: UnknownTasksParams;
  readonly #now: () => number;

  constructor(params: UnknownTasksParams) {
    this.#params = params;
    this.#now = params.now ?? Date.now;
  }

  /** Resolves when the message is off our hands. `dump`: the message, for people. */
  async handle(subscription: Settling, delivery: Delivery, header: TaskHeader, dump: () => string): Promise<void> {
    const { policy, isBroadcast } = this.#params;
    switch (policy) {
      case 'reject':
        return this.#reject(subscription, delivery, header, dump);
      case 'requeue':
        if (isBroadcast(delivery.queue)) return this.#reject(subscription, delivery, header, dump);
        return this.#putBack(subscription, delivery, header, dump);
      case 'dead':
        return this.#putAside(subscription, delivery, header, dump);
      case 'discard':
        this.#say('warning', header, 'The message has been discarded (worker.unknown_tasks).', dump);
        await subscription.ack(delivery);
        return;
    }
  }

  async #reject(subscription: Settling, delivery: Delivery, header: TaskHeader, dump: () => string): Promise<void> {
    this.#say('error', header, 'The message has been ignored and discarded.', dump);
    const reject = (): Promise<unknown> => subscription.reject(delivery, { requeue: false });
    // A result that cannot be stored has been logged; it must not keep the message, and its place in the prefetch, for ever.
    await this.#params.storeNotRegistered({ delivery, header }).then(reject, reject);
  }

  async #putAside(subscription: Settling, delivery: Delivery, header: TaskHeader, dump: () => string): Promise<void> {
    const { deadLetters, nodeName: worker, storeNotRegistered } = this.#params;
    const { properties, headers, body, queue } = delivery;
    const { task, id } = header;
    const text = `Received unregistered task of type '${task}'.`;
    const nothing = { signal: null, exitCode: null, peakRssBytes: null, stack: null, crashes: 0 };
    if (!deadLetters.native)
      await orBack(subscription, delivery, () =>
        deadLetters.put(
          { properties, headers, body },
          { reason: 'unregistered', text, ...nothing, worker, queue, task, id, atMs: this.#now() },
        ),
      );
    this.#say('error', header, `The message has been put aside in ${deadLetters.place} (worker.unknown_tasks).`, dump);
    const settle = (): Promise<unknown> =>
      deadLetters.native ? subscription.reject(delivery, { requeue: false }) : subscription.ack(delivery);
    await storeNotRegistered({ delivery, header }).then(settle, settle);
  }

  async #putBack(subscription: Settling, delivery: Delivery, header: TaskHeader, dump: () => string): Promise<void> {
    const { delayMs, timeoutMs, broker } = this.#params;
    const nowMs = this.#now();
    const [sinceMs, dueAtMs] = waitOf(delivery) ?? [nowMs, 0];
    // Brokers without delayed delivery give it to the next worker at once. That one keeps it until then.
    if (dueAtMs > nowMs) {
      await subscription.defer(delivery, dueAtMs);
      return;
    }
    if (nowMs - sinceMs >= timeoutMs) return this.#putAside(subscription, delivery, header, dump);
    if (sinceMs === nowMs)
      this.#say('warning', header, `The message is put back for up to ${timeoutMs / 1000}s (worker.unknown_tasks).`, dump);
    const next = Math.min(nowMs + delayMs, sinceMs + timeoutMs);
    const { properties, body, queue } = delivery;
    const headers = { ...withoutOwn(delivery.headers), [ownHeaders.unknown]: `${sinceMs} ${next}` };
    const destination = { exchange: '', routingKey: queue, dueAtMs: next, mandatory: true, othersFirst: true };
    await orBack(subscription, delivery, () => broker.publish({ properties, headers, body }, destination));
    await subscription.ack(delivery);
  }

  #say(level: 'warning' | 'error', { task, id }: TaskHeader, what: string, dump: () => string): void {
    this.#params.log.log(level, 'task.unregistered', `Received unregistered task of type '${escapeControls(task)}'.\n${what}\n${dump()}`, {
      taskId: id,
      taskName: task,
    });
  }
}

/** What fails gives the message back: held, it would keep its place in the prefetch for ever. */
async function orBack(subscription: Settling, delivery: Delivery, publish: () => Promise<void>): Promise<void> {
  try {
    await publish();
  } catch (error) {
    await subscription.reject(delivery, { requeue: true });
    throw error;
  }
}

/** Since when its task is unknown, and when to look again. */
function waitOf({ headers }: Delivery): readonly [number, number] | null {
  const text = headers?.[ownHeaders.unknown];
  const [, since, due] = typeof text === 'string' ? (/^(\d{1,15}) (\d{1,15})$/.exec(text) ?? []) : [];
  return since === undefined || due === undefined ? null : [Number(since), Number(due)];
}
