/**
 * Messages whose tasks end the child they run in.
 *
 * Owns the count, which travels with the message (a header that it goes back to its queue with), so that every worker knows it; and
 * what is put aside when there were enough. Only what would be run again is counted: late acknowledgement with reject_on_worker_lost.
 */
import type { Delivery } from '../broker/broker.ts';
import { type DeadLetters, withoutOwn } from '../broker/dead-letters.ts';
import type { Logger } from '../log/logger.ts';
import type { ChildExit, Job } from '../pool/job.ts';
import { workerLostText } from '../protocol/exception.ts';
import type { Message } from '../protocol/message.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import type { CrashNotices } from './crash-notices.ts';
import type { Request } from './request.ts';

export interface PoisonParams {
  readonly deadLetters: DeadLetters;
  /** Children one message may cost; 0: any number. */
  readonly maxCrashes: number;
  readonly nodeName: string;
  /** Queues of this worker alone: what comes from them comes back to it, and cannot be sent there. */
  readonly isBroadcast: (queue: string) => boolean;
  /** Where a message cannot be changed: the count is told beside it, and it goes back as it was. null: it travels with the message. */
  readonly notices: CrashNotices | null;
  readonly log: Logger;
  /** Unix milliseconds; default: the system's clock. */
  readonly now?: () => number;
}

/** What is known of a message before it is run. */
export interface Suspicion {
  /** Children it has cost. */
  crashes(delivery: Delivery, taskId: string): number;
  /** When it may be started, in Unix milliseconds; 0: at once. */
  notBeforeMs(delivery: Delivery, taskId: string): number;
}

/** What becomes of a message whose task has ended its child. */
export type Verdict =
  /** Back to its queue, when what there is to publish has been: as it is, or with these headers, which say how often it was. */
  | { readonly kind: 'requeue'; readonly headers?: Message['headers']; publish?(): Promise<void> }
  /** It is put aside: settle it so when that has been done, and say so. */
  | { readonly kind: 'dead'; readonly text: string; readonly action: 'ack' | 'drop'; publish(): Promise<void> };

/** A first crash may be an accident: the message runs again at once. After the second it waits so long, and twice as long after each further one. */
const secondWaitMs = 4000;
const longestWaitMs = 60_000;

/** Messages counted here alone. */
const mostRemembered = 1000;

/** How many children a message has cost. */
export function crashesOf(delivery: Pick<Delivery, 'headers' | 'plain'>): number {
  // A message in the plain form has no such header.
  const count = delivery.plain === undefined ? delivery.headers?.[ownHeaders.crashes] : 0;
  return typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** What is said of the end of a child to whoever waited for its task. */
export function lossText(exit: ChildExit, job: Pick<Job, 'id'>): string {
  const text = workerLostText({ exitCode: exit.exitCode, signal: exit.signal, job: job.id });
  return typeof exit.because === 'string' ? `${text} ${exit.because}` : text;
}

export class Poison implements Suspicion {
  readonly #params: PoisonParams;
  readonly #now: () => number;
  readonly #here = new Map<string, number>();

  constructor(params: PoisonParams) {
    this.#params = params;
    this.#now = params.now ?? Date.now;
  }

  crashes(delivery: Delivery, taskId: string): number {
    return Math.max(crashesOf(delivery), this.#params.notices?.crashesOf(taskId) ?? 0);
  }

  notBeforeMs(delivery: Delivery, taskId: string): number {
    const told = this.#params.notices?.notBeforeMs(taskId) ?? 0;
    const header = delivery.plain === undefined ? delivery.headers?.[ownHeaders.notBefore] : undefined;
    const notBeforeMs = typeof header === 'number' ? Math.max(told, header) : told;
    // Farther off than any wait: nobody has written it, or the clock of who did is wrong.
    return notBeforeMs > 0 && notBeforeMs <= this.#now() + longestWaitMs ? notBeforeMs : 0;
  }

  /** `message`: what is said of the end of the child. */
  onCrash(request: Request, exit: ChildExit, message: string): Verdict {
    const { maxCrashes, deadLetters } = this.#params;
    const { delivery, header } = request;
    const { id, task } = header;
    if (maxCrashes === 0) return { kind: 'requeue' };
    const isBroadcast = this.#params.isBroadcast(delivery.queue);
    const { notices } = this.#params;
    const crashes = (isBroadcast ? (this.#here.get(id) ?? 0) : this.crashes(delivery, id)) + 1;
    if (crashes < maxCrashes) {
      if (isBroadcast) return this.#remember(id, crashes);
      const waitMs = crashes < 2 ? 0 : Math.min(longestWaitMs, secondWaitMs * 2 ** (crashes - 2));
      const notBeforeMs = waitMs === 0 ? 0 : this.#now() + waitMs;
      if (notices !== null) return { kind: 'requeue', publish: () => notices.tell(id, crashes, notBeforeMs) };
      const wait = notBeforeMs === 0 ? null : { [ownHeaders.notBefore]: notBeforeMs };
      return { kind: 'requeue', headers: { ...withoutOwn(delivery.headers), [ownHeaders.crashes]: crashes, ...wait } };
    }
    this.#here.delete(id);
    notices?.forget(id);
    const text = `${message} It has ended ${crashes} ${crashes === 1 ? 'child' : 'children'} (worker.max_crashes) and is put aside.`;
    const { properties, headers, body, queue } = delivery;
    const { nodeName: worker } = this.#params;
    const { signal, exitCode, peakRssBytes = null, stack = null } = exit;
    const ended = { text: message, signal, exitCode, peakRssBytes, stack, crashes };
    const publish = async (): Promise<void> => {
      if (!deadLetters.native)
        await deadLetters.put({ properties, headers, body }, { reason: 'crashed', ...ended, worker, queue, task, id, atMs: Date.now() });
      this.#params.log.error('task.dead', `Task ${request.label} is put aside in ${deadLetters.place}: ${text}`, {
        taskId: id,
        taskName: task,
        crashes,
      });
    };
    return { kind: 'dead', text, action: deadLetters.native ? 'drop' : 'ack', publish };
  }

  #remember(id: string, crashes: number): Verdict {
    this.#here.delete(id);
    this.#here.set(id, crashes);
    for (const oldest of this.#here.keys()) {
      if (this.#here.size <= mostRemembered) break;
      this.#here.delete(oldest);
    }
    return { kind: 'requeue' };
  }
}
