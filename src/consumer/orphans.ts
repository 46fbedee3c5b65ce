/**
 * Tasks whose messages went with a lost connection and will be delivered again (RabbitMQ), to this worker or to another.
 *
 * Owns what is known of them: those that still run here, which must not be started a second time beside themselves; those that ended here and could
 * not be acknowledged, which need not run again; and those that are to leave the pool, whose message waits here until it is certain that they
 * have left, or have begun after all. A message is known again by task id and number of retries, and only when it is marked redelivered: a
 * retry has the same id and is another message.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import type { ChurnMap } from '../std/churn-map.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { taskLabel } from '../std/task-label.ts';
import { OnceOnly, type OnceOnlyParams } from './once-only.ts';
import type { Request } from './request.ts';
import type { Decision } from './strategy.ts';

export interface OrphansParams extends OnceOnlyParams {
  readonly broker: Broker;
}

/** Whose requests they are: the consumer. */
export interface OrphansHome {
  /** Requests by delivery. A job without a child has ended, when its request is active, and is being recorded. */
  readonly held: ChurnMap<Delivery, { readonly request: Request; readonly job: { withdrawn: boolean; readonly child: unknown } }>;
  readonly subscription: Pick<Subscription, 'ack' | 'reject'>;
  /** As if it had just come. */
  carryOut(delivery: Delivery): void;
}

/** How the message of a task that has ended was to be settled. Not 'requeue': that is what has happened to it. */
type FinalAction = 'ack' | 'drop';

/** Withdrawn from the pool, which has not said yet what became of it. */
interface Leaving {
  readonly request: Request;
  /** Its message, come again. */
  again: Delivery | null;
}

/** Messages that went to another worker are never heard of again. */
const mostRemembered = 10_000;

export class Orphans {
  readonly #params: OrphansParams;
  readonly #running = new Map<string, Request>();
  readonly #ended = new Map<string, FinalAction>();
  readonly #leaving = new Map<string, Leaving>();
  readonly #once: OnceOnly;
  #home: OrphansHome | null = null;

  constructor(params: OrphansParams) {
    this.#params = params;
    this.#once = new OnceOnly(params);
  }

  attach(home: OrphansHome): void {
    this.#home = home;
    this.#once.attach(home);
  }

  /** The message of a request is lost. true: it runs and goes on, because nobody else has the message yet. */
  goesOn(request: Request): boolean {
    if (request.state !== 'active' || this.#params.broker.features.redelivers !== true) return false;
    request.orphaned = true;
    remember(this.#running, keyOf(request.header), request);
    return true;
  }

  /** The message of a request is lost, and the pool is to give it back or to end it. */
  leaves(request: Request): void {
    const key = keyOf(request.header);
    if (!this.#leaving.has(key)) this.#leaving.set(key, { request, again: null });
  }

  /** A withdrawn request has begun: the child had not heard of it yet. It counts as running. */
  started(request: Request): void {
    const leaving = this.#leaver(request);
    if (leaving === undefined) return;
    const held = this.#home?.held.get(request.delivery);
    if (held !== undefined) held.job.withdrawn = false;
    request.lost = false;
    this.goesOn(request);
    if (leaving.again === null) return;
    this.#running.delete(keyOf(request.header));
    this.#reunite(request, leaving.again);
  }

  /** A request is out of the pool. Its message, if it has come again meanwhile, is a new one. */
  gone(request: Request): void {
    if (this.#leaving.size === 0) return;
    const again = this.#leaver(request)?.again;
    if (again !== undefined && again !== null) this.#home?.carryOut(again);
  }

  /** A message that waited here was lost in its turn. */
  lost(delivery: Delivery): void {
    this.#once.lost(delivery);
    for (const leaving of this.#leaving.values()) if (leaving.again === delivery) leaving.again = null;
  }

  /** An acknowledgement had no effect. `early`: the task has only begun. */
  stale(request: Request, action: FinalAction | 'requeue', early: boolean): void {
    if (early && this.goesOn(request)) return;
    request.lost = true;
    const key = keyOf(request.header);
    // Put back, it may run anew by then.
    if (this.#running.get(key) === request) this.#running.delete(key);
    // Its end is recorded: before a late acknowledgement it always is, after an early one where it was let go on.
    if (action !== 'requeue' && (!early || this.#params.broker.features.redelivers === true)) remember(this.#ended, key, action);
  }

  /** true: the message belongs to a task that runs here, ended here or is leaving, or may be a copy of another (once-only.ts), and is taken care of. */
  reunite(delivery: Delivery, decision: Decision): boolean {
    return this.#reunites(delivery, decision) || this.#once.looksAt(delivery, decision);
  }

  #reunites(delivery: Delivery, decision: Decision): boolean {
    if (this.#running.size + this.#ended.size + this.#leaving.size === 0) return false;
    if (!delivery.redelivered || !('header' in decision)) return false;
    const { header } = decision;
    const key = keyOf(header);
    const leaving = this.#leaving.get(key);
    if (leaving?.again === null) {
      leaving.again = delivery;
      return true;
    }
    const request = this.#running.get(key);
    this.#running.delete(key);
    if (request?.state === 'active') {
      this.#reunite(request, delivery);
      return true;
    }
    // Acknowledged early, in vain, and over since.
    const action = this.#ended.get(key) ?? (request !== undefined && !request.offer.acksLate ? 'ack' : undefined);
    if (action === undefined) return false;
    this.#ended.delete(key);
    this.#settle(delivery, header, action, null);
    this.#say(header, 'has ended here');
    return true;
  }

  #leaver(request: Request): Leaving | undefined {
    const key = keyOf(request.header);
    const leaving = this.#leaving.get(key);
    if (leaving?.request !== request) return undefined;
    this.#leaving.delete(key);
    return leaving;
  }

  #reunite(request: Request, delivery: Delivery): void {
    const held = this.#home?.held;
    const entry = held?.get(request.delivery);
    held?.delete(request.delivery);
    if (entry !== undefined) held?.set(delivery, entry);
    request.delivery = delivery;
    request.orphaned = false;
    if (request.acknowledged) this.#settle(delivery, request.header, 'ack', request);
    this.#say(request.header, entry?.job.child === null ? 'has ended here' : 'is running here');
  }

  /** Its task has ended, or runs on as this request. In vain, the message comes once more: then that is still known. */
  #settle(delivery: Delivery, header: TaskHeader, action: FinalAction, runs: Request | null): void {
    const subscription = this.#home?.subscription;
    const settled = action === 'ack' ? subscription?.ack(delivery) : subscription?.reject(delivery, { requeue: false });
    settled?.then(
      (outcome) => {
        if (outcome === 'stale' && !(runs !== null && this.goesOn(runs))) remember(this.#ended, keyOf(header), action);
      },
      (error: unknown) =>
        this.#params.log.error('message.settle-failed', `Couldn't ack '${escapeControls(header.id)}', reason: ${messageOf(error)}`),
    );
  }

  #say(header: TaskHeader, what: string): void {
    this.#params.log.info(
      'task.redelivered',
      `${taskLabel(header.task, header.id)} was delivered again and ${what}: it is not started a second time`,
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
