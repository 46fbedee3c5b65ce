/**
 * What a test of the contract of a broker stands on: one place, brokers on it, and queues with names of its own, so that it runs on a shared server.
 *
 * "Nothing arrives" is asserted behind a round trip through the same broker (`settleDown`), never behind a sleep.
 */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import type { Broker, QueueDeclaration } from '../../../src/broker/broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';

/** One place where messages live: a file, a server, a hub. */
export interface BrokerPlace {
  /** A new broker on this place, not yet started. The suite stops it. */
  create(): Promise<Broker>;
  /** A started broker, and the way to make it vanish without a farewell. Its messages must come back within seconds. */
  createDoomed(): Promise<{ readonly broker: Broker; crash(): Promise<void> }>;
  /** Put an element into the queue that cannot be decoded; false: this broker knows no such thing. */
  putGarbage(queue: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface BrokerConformanceParams {
  readonly name: string;
  /** Which of several queues the next message comes from is left to chance (RabbitMQ, for a prefetch of them all); else they take turns. */
  readonly drawsLots?: boolean;
  open(): Promise<BrokerPlace>;
}

export type Suite = (test: (title: string, body: (t: Test, bench: BrokerBench) => Promise<void>) => void) => void;

/** One test's place, brokers and queue names. */
export class BrokerBench {
  readonly place: BrokerPlace;
  readonly drawsLots: boolean;
  readonly #prefix = `conformance.${randomBytes(6).toString('hex')}`;
  readonly #brokers: Broker[] = [];
  readonly #queues = new Set<string>();

  private constructor(place: BrokerPlace, drawsLots: boolean) {
    this.place = place;
    this.drawsLots = drawsLots;
  }

  static async open(params: BrokerConformanceParams): Promise<BrokerBench> {
    return new BrokerBench(await params.open(), params.drawsLots ?? false);
  }

  async broker(): Promise<Broker> {
    const broker = await this.place.create();
    this.#brokers.push(broker);
    await broker.start();
    return broker;
  }

  name(word: string): string {
    return `${this.#prefix}.${word}`;
  }

  async queue(broker: Broker, word: string, declaration: Partial<QueueDeclaration> = {}): Promise<string> {
    const name = this.name(word);
    this.#queues.add(name);
    await broker.declareQueue({ ...declaration, name });
    return name;
  }

  /** Everything the broker had to hand out when this was called has been handed out when it resolves. */
  async settleDown(broker: Broker): Promise<void> {
    const queue = await this.queue(broker, 'round-trip');
    const inbox = await openInbox(broker, [queue]);
    for (let round = 0; round < 2; round++) {
      await publish(broker, queue, 'round trip');
      await inbox.subscription.ack(await inbox.deliveries.next());
    }
    await inbox.subscription.cancel();
  }

  async close(): Promise<void> {
    const [first] = this.#brokers;
    if (first !== undefined && first.state === 'connected') for (const queue of this.#queues) await first.deleteQueue(queue);
    for (const broker of this.#brokers) await broker.stop();
    await this.place.close();
  }
}

export function publish(broker: Broker, queue: string, text: string, properties: Partial<Message['properties']> = {}): Promise<void> {
  return broker.publish(textMessage(text, properties), { exchange: '', routingKey: queue });
}

export async function publishAll(broker: Broker, queue: string, texts: readonly string[]): Promise<void> {
  for (const text of texts) await publish(broker, queue, text);
}

export const texts = (deliveries: readonly Message[]): string[] => deliveries.map(textOf);
export const numbered = (count: number, prefix = ''): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
