/**
 * Messages put aside because running them does harm, or because nobody can: a queue of the broker, which no worker consumes from.
 *
 * Owns the queue, what a message in it says of its cause, and its way back. To look at what is there it is taken and given back, so that
 * one works on every broker as on the others; two who look at one time see a part each.
 */
import { UmbelError } from '../errors.ts';
import type { Message } from '../protocol/message.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { Broker, Delivery, Subscription } from './broker.ts';

export interface DeadCause {
  /** 'crashed': its task has ended child after child. 'unregistered': no worker knew its task. */
  readonly reason: 'crashed' | 'unregistered';
  /** For people. */
  readonly text: string;
  /** Of the last child that died; null where none did. */
  readonly signal: string | null;
  readonly exitCode: number | null;
  /** The most memory that child was seen to hold. */
  readonly peakRssBytes: number | null;
  /** Where it stood, or its last words. */
  readonly stack: string | null;
  /** Children that died running it. */
  readonly crashes: number;
  /** Name of the worker that put it aside. */
  readonly worker: string;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Where it came from, and where it goes back to. */
  readonly queue: string;
  readonly task: string;
  readonly id: string;
}

export interface DeadLetter {
  readonly id: string;
  readonly task: string;
  /** null: somebody else has put it there. */
  readonly cause: DeadCause | null;
  readonly message: Message;
}

/** What goes on with a letter that was looked at. */
export type DeadAction = 'keep' | 'retry' | 'remove';

export interface DeadLettersParams {
  readonly broker: Broker;
  readonly queue: string;
  /** Workers reject what they put aside, for the dead-letter exchange of its queue. Default: it goes to `queue`. */
  readonly native?: boolean;
  readonly clock?: Clock;
}

/** A broker that has said there are more, and gives none for so long, has given them to somebody else. */
const quietMs = 2000;

export class DeadLetters {
  readonly #params: DeadLettersParams;
  readonly #clock: Clock;
  #declared: Promise<void> | null = null;

  constructor(params: DeadLettersParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  get queue(): string {
    return this.#params.queue;
  }

  get native(): boolean {
    return this.#params.native === true;
  }

  /** Where it goes, for people. */
  get place(): string {
    return this.native ? 'the dead-letter exchange of its queue' : this.#params.queue;
  }

  /** Resolves when the broker has it for good. */
  async put(message: Message, cause: DeadCause): Promise<void> {
    const { broker, queue } = this.#params;
    const headers = { ...withoutOwn(message.headers), [ownHeaders.dead]: JSON.stringify(cause) };
    // Nobody waits for its time any more.
    const { expiration: _expiration, ...properties } = message.properties;
    const letter = { ...message, properties, headers };
    const send = async (): Promise<void> => {
      await this.#declare();
      await broker.publish(letter, { exchange: '', routingKey: queue, queue, mandatory: true });
    };
    await send().catch((error: unknown) => {
      if (!(error instanceof UmbelError && error.code === 'BROKER_REFUSED')) throw error;
      // Somebody may have deleted it.
      this.#declared = null;
      return send();
    });
  }

  /** Show each letter, oldest first, and do with it what is said. Resolves to what was said, in order. */
  async visit(decide: (letter: DeadLetter) => DeadAction): Promise<{ readonly letter: DeadLetter; readonly action: DeadAction }[]> {
    const { broker, queue } = this.#params;
    await this.#declare();
    const count = await broker.countReady(queue);
    if (count === 0) return [];
    const deliveries: Delivery[] = [];
    const subscription = await this.#take(count, deliveries);
    try {
      const visited: { letter: DeadLetter; action: DeadAction }[] = [];
      for (const delivery of deliveries) {
        const letter = letterOf(delivery);
        const action = decide(letter);
        if (action === 'retry') await this.#sendBack(letter);
        if (action !== 'keep' && (await subscription.ack(delivery)) !== 'done')
          throw new UmbelError('BROKER_UNAVAILABLE', `the connection was lost before message ${letter.id} was removed from ${queue}`);
        visited.push({ letter, action });
      }
      return visited;
    } finally {
      await subscription.release();
    }
  }

  /** Remove all of them. Resolves to how many there were. */
  async purge(): Promise<number> {
    await this.#declare();
    return this.#params.broker.purgeQueue(this.#params.queue);
  }

  async #take(count: number, into: Delivery[]): Promise<Subscription> {
    const enough = Promise.withResolvers<void>();
    let timer: Timer | undefined;
    const wait = (): void => {
      this.#clock.clearTimer(timer);
      timer = this.#clock.setTimer(enough.resolve, quietMs);
    };
    wait();
    const subscription = await this.#params.broker.consume({
      queues: [this.#params.queue],
      prefetch: 0,
      onDelivery: (delivery) => {
        into.push(delivery);
        if (into.length >= count) enough.resolve();
        else wait();
      },
      onLost: () => enough.resolve(),
      onHeld() {},
    });
    await enough.promise;
    this.#clock.clearTimer(timer);
    await subscription.cancel();
    return subscription;
  }

  async #sendBack({ id, message, cause }: DeadLetter): Promise<void> {
    const { broker, queue } = this.#params;
    if (cause === null) throw new UmbelError('USAGE', `message ${id} in ${queue} must say where it came from, and does not`);
    const to = { exchange: '', routingKey: cause.queue, queue: cause.queue, mandatory: true };
    await broker.publish({ ...message, headers: withoutOwn(message.headers) }, to);
  }

  #declare(): Promise<void> {
    this.#declared ??= this.#params.broker.declareQueue({ name: this.#params.queue, exchange: '' }).catch((error: unknown) => {
      this.#declared = null;
      throw error;
    });
    return this.#declared;
  }
}

/** Without what workers of ours and the broker have written on it: it is as it was sent. */
export function withoutOwn(headers: Message['headers']): Record<string, unknown> {
  const left: Record<string, unknown> = {};
  for (const name in headers) if (!written.has(name)) left[name] = headers[name];
  return left;
}

const written: ReadonlySet<string> = new Set([...Object.values(ownHeaders), 'x-delivery-count', 'x-acquired-count']);

function letterOf(delivery: Delivery): DeadLetter {
  const { headers, properties, body } = delivery;
  const named = (name: string): string | null => (typeof headers?.[name] === 'string' ? String(headers[name]) : null);
  const cause = causeOf(named(ownHeaders.dead));
  return {
    id: cause?.id ?? named('id') ?? properties.correlationId ?? String(delivery.tag),
    task: cause?.task ?? named('task') ?? '?',
    cause,
    message: { headers, properties, body },
  };
}

function causeOf(text: string | null): DeadCause | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as DeadCause;
  } catch {
    return null;
  }
}
