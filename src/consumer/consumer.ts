/**
 * The consumer: takes deliveries from the broker, carries out what consumer/strategy.ts decides, and hands tasks to the pool.
 *
 * Owns the subscription and the requests held. How many those may be is consumer/prefetch.ts, what happens when a task ends consumer/settle.ts.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { ChurnMap } from '../std/churn-map.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { jobOf } from './job-of.ts';
import { LostDeliveries } from './lost-deliveries.ts';
import type { Suspicion } from './poison.ts';
import { Prefetch, type PrefetchParams } from './prefetch.ts';
import { type Held, RateLimiter } from './rate-limiter.ts';
import { Request } from './request.ts';
import type { Settler } from './settle.ts';
import { type Decision, decide, type StrategyParams, unwanted } from './strategy.ts';
import { TimeLimitNotes } from './time-limit-notes.ts';
import type { UnknownTasks } from './unknown-tasks.ts';
import { UnrunMessages } from './unrun-messages.ts';
import { consumeFrom, dropBroadcastQueues } from './worker-queues.ts';

export interface ConsumerParams
  extends Pick<PrefetchParams, 'childConcurrency' | 'prefetchMultiplier' | 'adaptivePrefetch' | 'exactPrefetch'> {
  readonly broker: Broker;
  readonly pool: Pool;
  readonly settler: Settler;
  readonly queues: readonly TaskQueue[];
  readonly acceptContent: readonly string[];
  /** End running tasks that are acknowledged late when their messages go with a lost connection. */
  readonly cancelOnConnectionLoss: boolean;
  readonly unknownTasks: UnknownTasks;
  isRevoked(task: TaskHeader): boolean;
  readonly suspicion: Suspicion;
  readonly log: Logger;
  readonly rateLimitsDisabled?: boolean;
  readonly rateLimitReserve?: number;
  readonly clock?: Clock;
}

/** How long the broker may take to take everything back at the end. */
const releaseGraceMs = 10_000;

export class Consumer {
  readonly name = 'consumer';
  readonly #params: ConsumerParams;
  readonly #log: Logger;
  /** Held requests by delivery. */
  readonly #requests = new ChurnMap<Delivery, Held>();
  readonly #strategy: StrategyParams;
  #subscription: Subscription | null = null;
  #jobIds = 0;
  #received = 0;
  readonly #prefetch: Prefetch;
  readonly #timeLimits: TimeLimitNotes;
  readonly #lost: LostDeliveries;
  readonly #unrun: UnrunMessages;
  /** What may not start yet. */
  readonly rateLimits: RateLimiter;

  constructor(params: ConsumerParams) {
    this.#params = params;
    this.#log = params.log;
    const clock = params.clock ?? systemClock;
    this.rateLimits = new RateLimiter({
      clock,
      disabled: params.rateLimitsDisabled ?? false,
      reserve: params.rateLimitReserve ?? 1000,
      log: params.log,
      discarded: ({ request }) => this.#discarded(request),
      submit: (job) => params.pool.submit(job),
      onChange: () => this.#prefetch.tune(),
    });
    this.#prefetch = new Prefetch({
      ...params,
      clock,
      held: () => this.#requests.values(),
      setAside: () => this.rateLimits.setAside,
      subscription: () => this.#subscription,
    });
    this.#unrun = new UnrunMessages({ ...params, subscription: () => this.#subscription });
    this.#timeLimits = new TimeLimitNotes({ ...params, visibilityTimeoutMs: params.broker.features.visibilityTimeoutMs });
    const { cancelOnConnectionLoss: cancelRunning, settler } = params;
    const { orphans, news } = settler;
    this.#lost = new LostDeliveries({ ...params, orphans, news, held: this.#requests, rateLimits: this.rateLimits, cancelRunning });
    this.#strategy = {
      tasks: new Map<string, TaskOffer>(),
      acceptContent: params.acceptContent,
      isRevoked: params.isRevoked,
      notBeforeMs: (delivery, taskId) => params.suspicion.notBeforeMs(delivery, taskId),
      now: () => clock.now(),
    };
  }

  /** Messages taken from the broker since the start. */
  get received(): number {
    return this.#received;
  }

  get subscription(): Subscription | null {
    return this.#subscription;
  }

  get prefetch(): number {
    return this.#prefetch.count;
  }

  get heldUntilMs(): number {
    return this.#subscription?.heldUntilMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Requests a child is working on. What has ended is none, also while its end cannot be recorded because the broker is away. */
  get active(): readonly Request[] {
    const running: Request[] = [];
    for (const { request, job } of this.#requests.values()) if (request.state === 'active' && job.inChild) running.push(request);
    return running;
  }

  /** Every request held, with its job. */
  get held(): Iterable<{ readonly request: Request; readonly job: Job }> {
    return this.#requests.values();
  }

  /** Take back, wherever they wait, the jobs marked `withdrawn`. */
  withdraw(): void {
    this.rateLimits.withdraw();
    this.#params.pool.withdraw();
  }

  async start(): Promise<void> {
    const { pool, settler } = this.#params;
    Object.assign(this.#strategy, { tasks: pool.tasks });
    this.#timeLimits.noteTypes(pool.tasks.keys(), (name) => pool.timeLimitOf(name));
    this.rateLimits.configure(pool.tasks);
    this.#subscription = await consumeFrom(this.#params, () => this.#prefetch.tune(), {
      prefetch: this.#prefetch.begin(),
      onDelivery: (delivery) => this.#onDelivery(delivery),
      onLost: (deliveries) => this.#lost.onLost(deliveries),
      onHeld: () => pool.held(),
    });
    // The pool may have changed its size meanwhile.
    this.#prefetch.tune();
    settler.attach(this.#subscription, pool.tasks);
    // Decided anew: it may have been revoked, or have expired, while it waited.
    const carryOut = (delivery: Delivery): void => this.#carryOut(delivery, this.#decide(delivery));
    settler.orphans.attach({ held: this.#requests, subscription: this.#subscription, carryOut });
  }

  /** Stop taking messages and give back what no child has started. Running tasks go on. */
  async quiet(): Promise<void> {
    const cancelled = this.#subscription?.cancel();
    // At once: a child that becomes free while the broker answers must not begin another task.
    this.rateLimits.quiet();
    this.#params.pool.quiet();
    await cancelled;
  }

  pause(): void {
    this.#subscription?.pause();
  }

  resume(): void {
    this.#subscription?.resume();
  }

  /** Give every message not settled back to the broker. One that is away is not waited for: it takes them back by itself. */
  async stop(): Promise<void> {
    const { broker, queues } = this.#params;
    const released = this.#subscription?.release().then(() => dropBroadcastQueues(broker, queues));
    this.#subscription = null;
    this.#prefetch.stop();
    if (released === undefined) return;
    if (broker.state === 'lost') {
      released.catch(() => {});
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, releaseGraceMs);
    });
    await Promise.race([released, late]).finally(() => clearTimeout(timer));
  }

  poolResized(): void {
    this.#prefetch.tune();
  }

  /** Called by the settler's owner when a request is off our hands. */
  onSettled(request: Request): void {
    this.#requests.delete(request.delivery);
    this.#params.settler.orphans.gone(request);
    this.#prefetch.settled();
  }

  /** Expired or revoked while it waited. */
  #discarded(request: Request): boolean {
    const reason = unwanted(request.header, this.#strategy);
    if (reason !== null) this.#params.settler.discard(request, reason);
    return reason !== null;
  }

  #onDelivery(delivery: Delivery): void {
    this.#received += 1;
    const decision = this.#decide(delivery);
    if (!this.#params.settler.orphans.reunite(delivery, decision)) this.#carryOut(delivery, decision);
  }

  /** A message that we stumble over must not end the worker: it would come again, and end the next one. */
  #decide(delivery: Delivery): Decision {
    try {
      return decide(delivery, this.#strategy);
    } catch (error) {
      return { kind: 'invalid', reason: messageOf(error) };
    }
  }

  #carryOut(delivery: Delivery, decision: Decision): void {
    switch (decision.kind) {
      case 'run': {
        const { header, offer } = decision;
        const request = new Request({ delivery, header, offer, listener: this.#params.settler });
        let job: Job;
        try {
          this.#jobIds = (this.#jobIds + 1) >>> 0;
          job = jobOf(request, this.#jobIds);
          job.suspect = this.#params.suspicion.crashes(delivery, header.id) > 0;
        } catch (error) {
          this.#carryOut(delivery, { kind: 'invalid', reason: messageOf(error) });
          return;
        }
        const held = { request, job };
        this.#requests.set(delivery, held);
        if (!this.rateLimits.takes(held)) this.#params.pool.submit(job);
        this.#timeLimits.note(header);
        this.#params.settler.news.received(request);
        return;
      }
      case 'defer':
        this.#params.settler.news.deferred(decision);
        this.#unrun.guard(this.#subscription?.defer(delivery, decision.dueAtMs), decision.header.id);
        return;
      case 'expired':
      case 'revoked': {
        const { header, offer } = decision;
        const request = new Request({ delivery, header, offer, listener: this.#params.settler });
        this.#log.info('task.received', `Task ${request.label} received`, { taskId: header.id, taskName: header.task });
        this.#params.settler.discard(request, decision.kind);
        return;
      }
      default:
        this.#unrun.settle(delivery, decision);
    }
  }
}
