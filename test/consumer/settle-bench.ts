/** The settling code on doubles, and the ways a task can end. */
import { Request } from '../../src/consumer/request.ts';
import { Settler } from '../../src/consumer/settle.ts';
import type { EndedMeta, EndKind, TaskOffer } from '../../src/ipc/exchange.ts';
import { type ChildExit, Job } from '../../src/pool/job.ts';
import { Producer } from '../../src/producer/producer.ts';
import { encodeTask, type OutgoingTask, readReceipt } from '../../src/protocol/task-message.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import {
  deliveryOf,
  queueTable,
  Recorder,
  RecordingBackend,
  RecordingBroker,
  RecordingSubscription,
  setAside,
  settled,
  taskOffer,
} from './doubles.ts';

interface BenchOptions {
  readonly backend?: boolean;
  readonly joint?: boolean;
  readonly resultExtended?: boolean;
}

export class SettleBench {
  readonly recorder = new Recorder();
  readonly log = new RecordingLog();
  readonly broker = new RecordingBroker(this.recorder);
  readonly backend: RecordingBackend;
  readonly subscription = new RecordingSubscription(this.recorder);
  readonly producer: Producer;
  readonly settler: Settler;
  /** Requests reported as off our hands. */
  readonly settledRequests: Request[] = [];
  readonly revoked: string[] = [];
  /** What is said of a revoked task. */
  byStamp = '';
  #tags = 0;

  constructor(options: BenchOptions = {}) {
    this.backend = new RecordingBackend(this.recorder, options.joint ?? false);
    this.producer = new Producer({ broker: this.broker, queues: queueTable(), retry: false });
    this.settler = new Settler({
      broker: this.broker,
      backend: options.backend === false ? null : this.backend,
      producer: this.producer,
      poison: setAside(this.broker, this.log).poison,
      nodeName: 'worker@test',
      resultExtended: options.resultExtended ?? false,
      log: this.log,
      revoked: { add: (id) => this.revoked.push(id), reason: () => this.byStamp },
      onSettled: (request) => {
        this.recorder.calls.push({ name: 'settled', detail: request.header.id });
        this.settledRequests.push(request);
      },
    });
    this.settler.attach(this.subscription, new Map());
  }

  /** A request that the pool has, and its job. */
  request(offer: Partial<TaskOffer> = {}, more: Partial<OutgoingTask> = {}): { request: Request; job: Job } {
    this.#tags += 1;
    const id = `task-${this.#tags}`;
    const message = encodeTask({ task: 'tasks.add', id, args: [1, 2], kwargs: {}, origin: 'gen1@test', ...more });
    const delivery = deliveryOf(message, { tag: this.#tags });
    const receipt = readReceipt(delivery);
    if (receipt.kind !== 'task') throw new Error('the bench makes task messages');
    const request = new Request({ delivery, header: receipt.header, offer: taskOffer('tasks.add', offer), listener: this.settler });
    const job = new Job({ id: this.#tags, taskName: 'tasks.add', taskId: id, meta: '{}', body: delivery.body, listener: request });
    return { request, job };
  }

  /** A request whose task a child has started; the record of calls starts after that. */
  async started(offer: Partial<TaskOffer> = {}, more: Partial<OutgoingTask> = {}): Promise<{ request: Request; job: Job }> {
    const made = this.request(offer, more);
    made.request.onStarted(made.job, 4711, Date.now() / 1000);
    await settled();
    this.recorder.calls.length = 0;
    return made;
  }
}

export const late = { acksLate: true };

export function endedMeta(kind: EndKind, more: Partial<EndedMeta> = {}): EndedMeta {
  return { kind, text: "ValueError('x')", traceback: null, ...more };
}

export const exit: ChildExit = { pid: 4711, index: 2, exitCode: null, signal: 'SIGKILL' };

/** A follow-up as a child sends it. */
export function addFollowUp(job: Job, id = 'next'): void {
  const message = encodeTask({ task: 'tasks.next', id, args: [], kwargs: {}, origin: 'gen2@test' });
  const { headers, properties, body } = message;
  job.followUps ??= [];
  job.followUps.push({
    meta: { taskName: 'tasks.next', taskId: id, headers, properties, route: { queue: 'celery' }, dueAtMs: null },
    body,
  });
}

export type Finish = (request: Request, job: Job) => void;

export const succeed: Finish = (request, job) => request.onSucceeded(job, 0.5, null, '3');
export const end =
  (kind: EndKind, more: Partial<EndedMeta> = {}): Finish =>
  (request, job) =>
    request.onEnded(job, 0.5, endedMeta(kind, more), '{"exc_type":"ValueError"}');
export const loseChild: Finish = (request, job) => request.onWorkerLost(job, exit);
