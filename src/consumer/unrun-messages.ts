/**
 * Messages that no task is run for: of an unknown task, of no task at all, broken, or not to be read. What is said of them and how they are
 * settled is Celery's way (messages.md §7); for unknown tasks there are others (unknown-tasks.ts).
 */
import type { Delivery, Subscription } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { messageDump } from './message-dump.ts';
import type { Decision } from './strategy.ts';
import type { UnknownTasks } from './unknown-tasks.ts';

export type Unrun = Extract<Decision, { readonly kind: 'unregistered' | 'unknown' | 'invalid' | 'undecodable' }>;

export interface UnrunMessagesParams {
  subscription(): Subscription | null;
  readonly unknownTasks: UnknownTasks;
  readonly log: Logger;
}

export class UnrunMessages {
  readonly #params: UnrunMessagesParams;

  constructor(params: UnrunMessagesParams) {
    this.#params = params;
  }

  settle(delivery: Delivery, decision: Unrun): void {
    const { log, unknownTasks } = this.#params;
    const subscription = this.#params.subscription();
    const reject = (): Promise<unknown> | undefined => subscription?.reject(delivery, { requeue: false });
    switch (decision.kind) {
      case 'unregistered': {
        const { header } = decision;
        if (subscription === null) return;
        const handled = unknownTasks.handle(subscription, delivery, header, () => messageDump(delivery));
        this.guard(handled, header.id);
        return;
      }
      case 'unknown':
        log.warning('message.unknown', `Received and deleted unknown message.  Wrong destination?!?\n${messageDump(delivery)}`);
        this.guard(reject(), String(delivery.tag));
        return;
      case 'invalid':
        log.error(
          'message.invalid',
          `Received invalid task message: ${escapeControls(decision.reason)}\nThe message has been ignored and discarded.\n${messageDump(delivery)}`,
        );
        this.guard(reject(), String(delivery.tag));
        return;
      case 'undecodable':
        log.critical('message.undecodable', `Can't decode message body: ${escapeControls(decision.reason)}\n${messageDump(delivery)}`);
        this.guard(subscription?.ack(delivery), String(delivery.tag));
        return;
    }
  }

  /** A settlement that fails is said, and that is all. */
  guard(work: Promise<unknown> | undefined, id: string): void {
    work?.catch((error: unknown) =>
      this.#params.log.error('message.settle-failed', `Couldn't ack '${escapeControls(id)}', reason: ${messageOf(error)}`),
    );
  }
}
