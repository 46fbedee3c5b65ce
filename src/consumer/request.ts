/**
 * A request: one task message this worker holds, from receipt to settlement.
 *
 * State (written by consumer/settle.ts and consumer/consumer.ts only):
 *
 *   reserved ──child starts it──► active ──► settled
 *      └──given back, discarded, lost────────► settled
 */
import type { Delivery } from '../broker/broker.ts';
import type { EndedMeta, SucceededMeta, TaskOffer } from '../ipc/exchange.ts';
import type { NamedSignal } from '../os/signal-name.ts';
import type { ChildExit, Job, JobListener } from '../pool/job.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { taskLabel } from '../std/task-label.ts';
import type { UnwantedReason } from './unwanted-task.ts';

export type RequestState = 'reserved' | 'active' | 'settled';

/** What happens to a request while the pool has it; consumer/settle.ts implements it. */
export interface RequestListener {
  onStarted(request: Request, pid: number, atSeconds: number): void;
  onSucceeded(request: Request, job: Job, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void;
  onEnded(request: Request, job: Job, runtimeSeconds: number, meta: EndedMeta, resultJson: string): void;
  onWorkerLost(request: Request, job: Job, exit: ChildExit): void;
  onReturned(request: Request): void;
  /** Not to be run, or not any more. */
  discard(request: Request, reason: UnwantedReason): void;
}

export class Request implements JobListener {
  /** Another one when its message was delivered again while it ran; written by consumer/orphans.ts. */
  delivery: Delivery;
  readonly header: TaskHeader;
  readonly offer: TaskOffer;
  /** performance.now() when it came. */
  readonly receivedAtMs = performance.now();
  /** No result is to be stored. */
  readonly ignoreResult: boolean;
  state: RequestState = 'reserved';
  /** The message is acknowledged already (early ack). */
  acknowledged = false;
  /** It is not to be run: written by consumer/revokes.ts while it has not begun. */
  revoked = false;
  /** Its process was told to end because of it; written by consumer/revokes.ts. */
  terminatedBy: NamedSignal | null = null;
  /** Called when it begins although it was taken back. */
  onceStarted: (() => void) | null = null;
  /** The broker took the message away; settling has no effect and nothing may be stored for it. */
  lost = false;
  /** Its message went with a lost connection and has not come again: no channel holds it for this worker. Written by consumer/orphans.ts. */
  orphaned = false;
  /** With what it goes back to its queue, when it does; undefined: as it came. */
  headersAgain: Delivery['headers'] | undefined = undefined;
  /** When and where a child started it: unix seconds, process id; null: not yet. */
  startedAtSeconds: number | null = null;
  pid: number | null = null;
  readonly #listener: RequestListener;

  constructor(params: { delivery: Delivery; header: TaskHeader; offer: TaskOffer; listener: RequestListener }) {
    this.delivery = params.delivery;
    this.header = params.header;
    this.offer = params.offer;
    // A header sent as false by clients before 5.6.3 means "nothing said"; only true overrides the task.
    this.ignoreResult = params.header.ignoreResult === true || params.offer.ignoreResult;
    this.#listener = params.listener;
  }

  /** `name[id]`, as every log line shows it. */
  get label(): string {
    return taskLabel(this.header.shadow ?? this.header.task, this.header.id);
  }

  onStarted(job: Job, pid: number, atSeconds: number): void {
    this.startedAtSeconds = atSeconds;
    this.pid = pid;
    this.#listener.onStarted(this, pid, atSeconds);
    if (!this.revoked) return;
    // Too late: as far as revoking goes, what runs goes on.
    this.revoked = false;
    job.withdrawn = this.lost;
    this.onceStarted?.();
  }

  onSucceeded(job: Job, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void {
    this.#listener.onSucceeded(this, job, runtimeSeconds, meta, resultJson);
  }

  onEnded(job: Job, runtimeSeconds: number, meta: EndedMeta, resultJson: string): void {
    const inVain = meta.kind === 'failed' || meta.kind === 'retried';
    if (this.terminatedBy !== null && inVain) this.#listener.discard(this, 'terminated');
    else this.#listener.onEnded(this, job, runtimeSeconds, meta, resultJson);
  }

  onWorkerLost(job: Job, exit: ChildExit): void {
    if (this.terminatedBy !== null && !this.lost) this.#listener.discard(this, 'terminated');
    else this.#listener.onWorkerLost(this, job, exit);
  }

  onReturned(_job: Job): void {
    if (this.revoked && !this.lost) this.#listener.discard(this, 'revoked');
    else this.#listener.onReturned(this);
  }
}
