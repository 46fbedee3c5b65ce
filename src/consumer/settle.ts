/**
 * Settling: what is done, in which order, when a task has ended.
 *
 * Owns the one fixed order (design §2): follow-ups published → result stored and chord counted → body of a chord published, if this
 * completed it (chord-parts.ts) → message acknowledged → event logged, so that a crash between any two steps repeats work but
 * never loses it. With early acknowledgement the message is acknowledged when a child starts the task. The rules per outcome are
 * worker-behaviour.md §2 and messages.md §9.
 *
 * Never decides what to run; never talks to a child.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { Broker, Subscription } from '../broker/broker.ts';
import type { FollowUpNotes } from '../canvas/follow-up-message.ts';
import { messageOf } from '../errors.ts';
import type { EndedMeta, SucceededMeta, TaskOffer } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { ChildExit, FollowUp, Job } from '../pool/job.ts';
import type { Producer } from '../producer/producer.ts';
import { errorText, exceptionDocument, notRegistered, taskRevoked } from '../protocol/exception.ts';
import type { ResultRecord } from '../protocol/result.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { PendingWork } from '../std/pending-work.ts';
import { type ChordEnding, ChordParts } from './chord-parts.ts';
import { FollowUpPublisher } from './follow-up-publisher.ts';
import { chordOfUnrun, type LostTask, lostFollowUps } from './lost-follow-ups.ts';
import { mayPass } from './may-pass.ts';
import { Orphans } from './orphans.ts';
import type { Poison, Verdict } from './poison.ts';
import type { Request, RequestListener } from './request.ts';
import { type RecordSource, ResultRecords } from './result-records.ts';
import type { RevokedTasks } from './revoked-tasks.ts';
import { SettleCounts } from './settle-counts.ts';
import { noEvents, type TaskEvents, TaskNews } from './task-news.ts';
import type { UnwantedReason } from './unwanted-task.ts';
import { workerLossOf } from './worker-loss.ts';

export interface SettlerParams {
  readonly broker: Broker;
  readonly backend: ResultBackend | null;
  readonly producer: Producer;
  readonly poison: Pick<Poison, 'onCrash'>;
  readonly nodeName: string;
  readonly resultExtended: boolean;
  /** Default: nobody wants any. */
  readonly events?: TaskEvents;
  readonly log: Logger;
  readonly revoked: Pick<RevokedTasks, 'add' | 'reason'>;
  /** A request is off our hands: it was settled, or given back. */
  onSettled(request: Request): void;
}

type AckAction = 'ack' | 'requeue' | 'drop';

export class Settler implements RequestListener {
  readonly counts = new SettleCounts();
  /** Tasks started, by name. */
  readonly totals = new Map<string, number>();
  readonly news: TaskNews;
  readonly orphans: Orphans;
  readonly #params: SettlerParams;
  readonly #log: Logger;
  readonly #publisher: FollowUpPublisher;
  readonly #records: ResultRecords;
  readonly #chords: ChordParts;
  readonly #joint: boolean;
  #subscription: Subscription | null = null;
  #tasks: ReadonlyMap<string, TaskOffer> = new Map();
  readonly #pending = new PendingWork();
  #stopping = false;
  /** Written by giveUp. */
  #givenUp = false;

  constructor(params: SettlerParams) {
    this.#params = params;
    this.#log = params.log;
    this.news = new TaskNews(params.log, params.events ?? noEvents);
    this.#publisher = new FollowUpPublisher(params);
    this.#records = new ResultRecords(params);
    this.orphans = new Orphans(params);
    this.#joint = params.backend?.commitsWith(params.broker) ?? false;
    this.#chords = new ChordParts({ backend: params.backend, publisher: this.#publisher, joint: this.#joint, log: params.log });
  }

  /** The subscription whose deliveries are settled here, and what children can run. */
  attach(subscription: Subscription, tasks: ReadonlyMap<string, TaskOffer>): void {
    this.#subscription = subscription;
    this.#tasks = tasks;
  }

  /** From now on children end because the worker stops. */
  stopping(): void {
    this.#stopping = true;
    this.#chords.stop();
  }

  /** The worker ends without what is not recorded yet: that what it waits for goes with it is no failure of the task from now on. */
  giveUp(): void {
    this.#givenUp = true;
  }

  /** Resolves when every settlement that has begun is durable. */
  idle(): Promise<void> {
    return this.#pending.idle();
  }

  onStarted(request: Request, pid: number, _atSeconds: number): void {
    request.state = 'active';
    const { task } = request.header;
    this.totals.set(task, (this.totals.get(task) ?? 0) + 1);
    if (request.lost) this.orphans.started(request);
    this.news.started(request, pid);
    if (!request.offer.acksLate) {
      request.acknowledged = true;
      this.#track(this.#acknowledge(request, 'ack', true));
    }
    if (request.offer.trackStarted && !request.ignoreResult) {
      const resultJson = JSON.stringify({ pid, hostname: this.#params.nodeName });
      this.#track(this.#store(this.#records.make(request, 'STARTED', resultJson, null, null)));
    }
  }

  onSucceeded(request: Request, job: Job, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void {
    this.counts.succeeded += 1;
    const record = request.ignoreResult ? null : this.#records.make(request, 'SUCCESS', resultJson, null, meta);
    this.#finish(request, job.followUps, record, 'ack', null, this.#ending(request, meta, job.followUps, record, 'SUCCESS', resultJson));
    this.#reportUnsupported(request, meta);
    this.news.succeeded(request, runtimeSeconds, meta, resultJson);
  }

  onEnded(request: Request, job: Job, runtimeSeconds: number, meta: EndedMeta, resultJson: string): void {
    const { offer } = request;
    this.#reportUnsupported(request, meta);
    switch (meta.kind) {
      case 'failed': {
        this.counts.failed += 1;
        const record = this.#wantsError(request) ? this.#records.make(request, 'FAILURE', resultJson, meta.traceback, meta) : null;
        const steps = this.#records.failedSteps(request, meta.failedSteps, resultJson, meta.traceback);
        const ending = this.#ending(request, meta, job.followUps, record, 'FAILURE', resultJson);
        this.#finish(request, job.followUps, record, offer.acksLate && !offer.acksOnFailureOrTimeout ? 'drop' : 'ack', steps, ending);
        this.news.failed(request, runtimeSeconds, meta);
        return;
      }
      case 'retried': {
        this.counts.retried += 1;
        // On its way before the message, whose run may end at once and tell of it. A state, as STARTED is one: nothing waits for it.
        if (!request.ignoreResult && !request.lost)
          this.#track(this.#store(this.#records.make(request, 'RETRY', resultJson, meta.traceback, meta)));
        this.#finish(request, job.followUps, null, 'ack');
        this.news.retried(request, runtimeSeconds, meta, resultJson);
        return;
      }
      case 'ignored':
        this.counts.ignored += 1;
        this.#finish(request, job.followUps, null, 'ack');
        this.news.ignored(request, runtimeSeconds);
        return;
      case 'rejected':
        this.counts.rejected += 1;
        this.#finish(request, null, null, meta.requeue === true ? 'requeue' : 'drop');
        this.news.rejected(request, runtimeSeconds, meta);
        return;
      case 'expired':
        this.discard(request, 'expired');
        return;
      case 'undecodable':
        this.#finish(request, null, null, 'ack');
        this.news.undecodable(request, runtimeSeconds, meta);
        return;
      case 'invalid':
        this.#finish(request, null, null, 'drop');
        this.news.invalid(request, runtimeSeconds, meta);
        return;
    }
  }

  onWorkerLost(request: Request, job: Job, exit: ChildExit): void {
    const loss = workerLossOf(request, job, exit, { stopping: this.#stopping, poison: this.#params.poison });
    const fields = { ...this.#fields(request.header), child: exit.index, pid: exit.pid };
    if (loss.kind === 'put-back') {
      this.counts.lost += 1;
      if (loss.verdict?.kind === 'requeue') request.headersAgain = loss.verdict.headers;
      this.#finish(request, null, null, 'requeue', null, null, loss.verdict);
      this.#log.log(loss.level, 'task.worker-lost', loss.text, { ...fields, requeue: !request.lost });
      return;
    }
    this.counts[loss.count] += 1;
    const failure = { tasks: this.#tasks, hostname: this.#params.nodeName, exception: loss.error, traceback: loss.traceback };
    const lost = lostFollowUps(request, failure);
    this.#reportUnsupported(request, lost);
    const resultJson = JSON.stringify(loss.error);
    const record = this.#wantsError(request) ? this.#records.make(request, 'FAILURE', resultJson, loss.traceback, null) : null;
    const steps = this.#records.failedSteps(request, lost.failedSteps, resultJson, loss.traceback);
    const ending = this.#ending(request, lost, lost.followUps, record, 'FAILURE', resultJson);
    this.#finish(request, lost.followUps, record, loss.action, steps, ending, loss.verdict);
    this.news.lost(request, loss.text, errorText(loss.error), loss.traceback, fields);
  }

  /** The pool gave it back unstarted: it stays the broker's, to be released with the subscription. */
  onReturned(request: Request): void {
    request.state = 'settled';
    this.counts.returned += 1;
    this.#params.onSettled(request);
  }

  /** Not to be run, or not any more: acknowledge, and tell whoever waits. An expired id counts as revoked from then on, as in Celery. */
  discard(request: Request, reason: UnwantedReason): void {
    this.counts.revoked += 1;
    if (reason === 'expired') this.#params.revoked.add(request.header.id);
    const resultJson = JSON.stringify(taskRevoked(reason));
    const record = this.#wantsError(request) ? this.#records.make(request, 'REVOKED', resultJson, null, null) : null;
    const unrun = chordOfUnrun(request);
    this.#reportUnsupported(request, unrun);
    this.#finish(request, null, record, 'ack', null, this.#ending(request, unrun, unrun.followUps, record, 'REVOKED', resultJson));
    this.news.unwanted(request, reason, this.#params.revoked.reason(request.header));
  }

  /** The result of a task nobody here knows, with which its chord fails. The message itself is the consumer's to reject. */
  storeNotRegistered(task: LostTask): Promise<unknown> {
    const { header } = task;
    this.news.unregistered(header);
    const source = { header, delivery: null, replyTo: task.delivery.properties.replyTo };
    const record = this.#records.make(source, 'FAILURE', JSON.stringify(notRegistered(header.task)), null, null);
    const unrun = chordOfUnrun(task);
    const ending = this.#ending({ header, delivery: null }, unrun, unrun.followUps, record, record.status, record.resultJson);
    const stored = ending === null ? this.#store(record) : this.#chords.settle(ending, [], () => nothingToDo);
    this.#track(stored);
    return stored;
  }

  /** update_state from inside a task. Resolves when it is stored, or at once when this task stores nothing. */
  storeState(request: Request, state: string, metaJson: string): Promise<void> {
    if (request.ignoreResult || request.state !== 'active') return Promise.resolve();
    const stored = this.#store(this.#records.make(request, state, metaJson, null, null));
    this.#track(stored);
    return stored;
  }

  /** The one pipeline every task ends in. As few promises as the order allows: every task pays for them. */
  #finish(
    request: Request,
    followUps: readonly FollowUp[] | null,
    record: ResultRecord | null,
    action: AckAction,
    failedSteps: readonly ResultRecord[] | null = null,
    ending: ChordEnding | null = null,
    first: Verdict | null = null,
  ): void {
    const steps = request.lost
      ? nothingToDo
      : followUps === null && first === null
        ? this.#storeAndAcknowledge(request, record, action, failedSteps, ending)
        : this.#publishAll(first, followUps).then(() => this.#storeAndAcknowledge(request, record, action, failedSteps, ending));
    this.#pending.begun();
    steps.then(
      () => this.#settled(request),
      (error: unknown) => void this.#notSettled(request, error, ending),
    );
  }

  async #publishAll(first: Verdict | null, followUps: readonly FollowUp[] | null): Promise<void> {
    await first?.publish?.();
    if (followUps !== null) await this.#publisher.publish(followUps);
  }

  /** Of a task that is a part of chords. null: it is of none, or nobody can count it. */
  #ending(
    source: RecordSource,
    notes: FollowUpNotes | null,
    followUps: readonly FollowUp[] | null,
    record: ResultRecord | null,
    status: string,
    resultJson: string,
  ): ChordEnding | null {
    const parts = notes?.chordParts;
    if (parts === undefined) return null;
    const counted = record ?? this.#records.make(source, status, resultJson, null, null);
    const ending = { parts, followUps: followUps ?? [], record: counted, ignoreResult: record === null };
    return this.#chords.canCount(ending) ? ending : null;
  }

  #storeAndAcknowledge(
    request: Request,
    record: ResultRecord | null,
    action: AckAction,
    failedSteps: readonly ResultRecord[] | null,
    ending: ChordEnding | null,
  ): Promise<unknown> {
    if (ending !== null) return this.#chords.settle(ending, failedSteps ?? [], () => this.#acknowledgeOnce(request, action));
    const { backend } = this.#params;
    const records = record === null ? (failedSteps ?? []) : [record, ...(failedSteps ?? [])];
    const [only] = records;
    if (only === undefined || backend === null) return this.#acknowledgeOnce(request, action);
    const settle = (): Promise<unknown> => this.#acknowledgeOnce(request, action);
    if (this.#joint) return backend.storeAndSettle(records, settle);
    const stored = records.length === 1 ? backend.store(only) : Promise.all(records.map((document) => backend.store(document)));
    return stored.then(settle);
  }

  #acknowledgeOnce(request: Request, action: AckAction): Promise<unknown> {
    return request.acknowledged ? nothingToDo : this.#acknowledge(request, action);
  }

  #acknowledge(request: Request, action: AckAction, early = false): Promise<unknown> {
    const subscription = this.#subscription;
    if (subscription === null) return nothingToDo;
    const { delivery, headersAgain: headers } = request;
    const requeue = action === 'requeue';
    const outcome =
      action === 'ack'
        ? subscription.ack(delivery)
        : subscription.reject(delivery, requeue && headers ? { requeue, headers } : { requeue });
    return outcome.then((result) => {
      request.acknowledged = result !== 'kept';
      if (result === 'stale') this.#noteStale(request, action, early);
    });
  }

  #noteStale(request: Request, action: AckAction, early: boolean): void {
    this.orphans.stale(request, action, early);
    this.#log.warning(
      'task.ack-stale',
      `${request.label}: the message was no longer ours when it was acknowledged; it is delivered again`,
      this.#fields(request.header),
    );
  }

  #store(record: ResultRecord): Promise<void> {
    return this.#params.backend === null ? Promise.resolve() : this.#params.backend.store(record);
  }

  #settled(request: Request): void {
    request.state = 'settled';
    this.#params.onSettled(request);
    this.#pending.done();
  }

  /**
   * A step failed for good. What may go better another time goes back to its queue when it is acknowledged late, so that nothing
   * is lost. What is refused will be refused again, and its task would run for ever: that is the task's failure, as in Celery.
   */
  async #notSettled(request: Request, error: unknown, ending: ChordEnding | null): Promise<void> {
    // Its message goes back with the subscription.
    if (this.#givenUp && mayPass(error)) {
      this.news.unrecorded(request, messageOf(error));
      this.#settled(request);
      return;
    }
    this.#log.critical(
      'task.settle-failed',
      `Task ${request.label} INTERNAL ERROR: its end could not be recorded: ${messageOf(error)}`,
      this.#fields(request.header),
    );
    try {
      if (mayPass(error) || request.lost) await this.#acknowledgeOnce(request, 'requeue');
      else {
        const record = this.#records.make(request, 'FAILURE', JSON.stringify(exceptionDocument(error)), null, null);
        const stored = this.#wantsError(request) ? record : null;
        const failed = ending === null ? null : { ...ending, record, ignoreResult: stored === null };
        await this.#storeAndAcknowledge(request, stored, 'ack', null, failed);
      }
    } catch (again) {
      this.#log.error(
        'task.requeue-failed',
        `Couldn't requeue ${request.label}, reason: ${messageOf(again)}`,
        this.#fields(request.header),
      );
    }
    this.#settled(request);
  }

  #reportUnsupported(request: Request, meta: { readonly unsupported?: readonly string[] } | null): void {
    for (const what of meta?.unsupported ?? []) {
      this.#log.error(
        'task.follow-up-unsupported',
        `Task ${request.label}: not sent, because this version cannot: ${what}`,
        this.#fields(request.header),
      );
    }
  }

  #wantsError(request: Request): boolean {
    return !request.ignoreResult || request.offer.storeErrorsEvenIfIgnored;
  }

  #fields(header: TaskHeader): { taskId: string; taskName: string } {
    return { taskId: header.id, taskName: header.task };
  }

  #track(work: Promise<unknown>): void {
    this.#pending.begun();
    work.then(
      () => this.#pending.done(),
      (error: unknown) => {
        this.#log.error('task.settle-failed', `a state could not be stored or a message not be acknowledged: ${messageOf(error)}`);
        this.#pending.done();
      },
    );
  }
}

const nothingToDo: Promise<void> = Promise.resolve();
