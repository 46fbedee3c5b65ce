/**
 * Publishing what follows from a finished task, for as long as it takes.
 *
 * A follow-up that is given up is work lost: the message it came from may be acknowledged already, and if not, its task would
 * run once more. So while the broker is away this waits for it, also when only the way to publish is (RabbitMQ has a connection of its own for that);
 * what the broker refuses while it is there is given up after a few tries. Never decides what to publish.
 */
import type { ResultBackend } from '../backend/backend.ts';
import { startChords } from '../backend/start-chords.ts';
import type { Broker } from '../broker/broker.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FollowUp } from '../pool/job.ts';
import type { Producer } from '../producer/producer.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { taskLabel } from '../std/task-label.ts';

export interface FollowUpPublisherParams {
  readonly broker: Broker;
  /** Told of the chords that begin. */
  readonly backend: ResultBackend | null;
  readonly producer: Producer;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** Tries of one message that a connected broker refuses. */
const maxRefusals = 4;
const firstRetryMs = 200;
const longestRetryMs = 2000;

export class FollowUpPublisher {
  readonly #params: FollowUpPublisherParams;
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];

  constructor(params: FollowUpPublisherParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    params.broker.onStateChange((state) => {
      if (state === 'connected' || state === 'stopped') for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** In their order, those that do not wait for a chord. Resolves when the broker has all of them for good; rejects when one cannot be published. */
  async publish(followUps: readonly FollowUp[]): Promise<void> {
    for (const followUp of followUps) {
      if (followUp.meta.chord !== undefined) continue;
      if (followUp.meta.chords !== undefined) await startChords(this.#params.backend, followUp.meta.chords);
      await this.#publishOne(followUp);
    }
  }

  async #publishOne({ meta, body }: FollowUp): Promise<void> {
    const { headers, properties, taskName, taskId, route, dueAtMs } = meta;
    const request = { taskName, taskId, route, dueAtMs, retry: false } as const;
    for (let tries = 1, refusals = 0, said = ''; ; tries += 1) {
      try {
        return await this.#params.producer.publish({ headers, properties, body }, request);
      } catch (error) {
        if (!isTransient(error)) throw error;
        const { state } = this.#params.broker;
        if (state === 'connected' && !isLost(error)) refusals += 1;
        if (state === 'stopped' || refusals >= maxRefusals) throw error;
        const text = `Task ${taskLabel(taskName, taskId)} could not be sent, trying again: ${messageOf(error)}`;
        if (text !== said) this.#params.log.warning('task.follow-up-delayed', text, { taskId, taskName });
        said = text;
        await (state === 'connected' ? this.#pause(tries) : this.#brokerBack());
      }
    }
  }

  #brokerBack(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #pause(tries: number): Promise<void> {
    const delayMs = backoffDelayMs({ attempt: tries - 1, baseMs: firstRetryMs, maxMs: longestRetryMs });
    return new Promise((resolve) => this.#clock.setTimer(resolve, delayMs));
  }
}

function isLost(error: unknown): boolean {
  return error instanceof UmbelError && error.code === 'BROKER_LOST';
}

function isTransient(error: unknown): boolean {
  return error instanceof UmbelError && ['BROKER_UNAVAILABLE', 'BROKER_LOST', 'BROKER_FULL'].includes(error.code);
}
