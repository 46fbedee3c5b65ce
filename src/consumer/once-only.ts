/**
 * Messages that may have been sent twice, of which one copy is to run: bodies of chords.
 *
 * Who completes a chord sends its body and is acknowledged after that; one that dies in between sends it again. Every sending has a mark of its own
 * (`ownHeaders.once`). The first copy that is about to run writes its mark down under the task's id; a copy with another mark is dropped, and so is one
 * with the same mark that was not delivered before: that is the same sending, taken twice by the broker. The same copy delivered again runs again, as every message.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { Delivery, Subscription } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { taskLabel } from '../std/task-label.ts';
import type { Decision } from './strategy.ts';

export interface OnceOnlyParams {
  readonly backend: ResultBackend | null;
  readonly log: Logger;
}

/** Whose messages they are: the consumer. */
export interface OnceOnlyHome {
  readonly subscription: Pick<Subscription, 'ack'>;
  /** As if it had just come. */
  carryOut(delivery: Delivery): void;
}

export class OnceOnly {
  readonly #params: OnceOnlyParams;
  /** What is being asked about; a delivery that is lost meanwhile is taken out. */
  readonly #asking = new Set<Delivery>();
  #home: OnceOnlyHome | null = null;

  constructor(params: OnceOnlyParams) {
    this.#params = params;
  }

  attach(home: OnceOnlyHome): void {
    this.#home = home;
  }

  /** true: it is looked at, and is run or dropped when that is known. Most messages have no mark. */
  looksAt(delivery: Delivery, decision: Decision): boolean {
    if (delivery.plain !== undefined || decision.kind !== 'run') return false;
    const mark = delivery.headers?.[ownHeaders.once];
    const groups = this.#params.backend?.groups ?? null;
    if (typeof mark !== 'string' || groups === null) return false;
    const { id, task } = decision.header;
    const about = { taskId: id, taskName: task };
    this.#asking.add(delivery);
    groups.claimRun(id, mark).then(
      (claim) => {
        if (!this.#asking.delete(delivery)) return;
        if (claim === 'first' || (claim === 'same' && delivery.redelivered)) return this.#home?.carryOut(delivery);
        this.#params.log.info('chord.body-again', `Task ${taskLabel(task, id)} was sent twice: this copy is not run`, about);
        this.#drop(delivery, id);
      },
      (error: unknown) => {
        if (!this.#asking.delete(delivery)) return;
        this.#params.log.warning(
          'chord.body-unchecked',
          `Task ${taskLabel(task, id)} is run without knowing whether a copy of it is: ${messageOf(error)}`,
          about,
        );
        this.#home?.carryOut(delivery);
      },
    );
    return true;
  }

  /** The broker took it away: it comes again, marked as delivered before, and is asked about again. */
  lost(delivery: Delivery): void {
    this.#asking.delete(delivery);
  }

  #drop(delivery: Delivery, id: string): void {
    const { log } = this.#params;
    this.#home?.subscription
      .ack(delivery)
      .catch((error: unknown) => log.error('message.settle-failed', `Couldn't ack '${escapeControls(id)}', reason: ${messageOf(error)}`));
  }
}
