/**
 * What every broker must do, run over each of them.
 *
 * Owns the meaning of the contract in src/broker/broker.ts. Uses queue names of its own, so that it runs on a shared server.
 * "Nothing arrives" is asserted behind a round trip through the same broker, never behind a sleep.
 */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import type { Broker, Delivery, QueueDeclaration } from '../../src/broker/broker.ts';
import type { Message } from '../../src/protocol/message.ts';
import { systemClock } from '../../src/std/clock.ts';
import { eventually } from '../pool/eventually.ts';
import { Arrivals, openInbox, textMessage, textOf } from './inbox.ts';

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

export function brokerConformance(t: Test, params: BrokerConformanceParams): void {
  const test = (title: string, body: (t: Test, bench: Bench) => Promise<void>): void => {
    t.test(`${params.name}: ${title}`, async (t) => {
      const bench = await Bench.open(params);
      try {
        await body(t, bench);
      } finally {
        await bench.close();
      }
    });
  };
  deliverySuite(test);
  settlementSuite(test);
  flowSuite(test);
  delaySuite(test);
  routingSuite(test);
  lifeSuite(test);
  operatorSuite(test);
}

type Suite = (test: (title: string, body: (t: Test, bench: Bench) => Promise<void>) => void) => void;

/** One test's place, brokers and queue names. */
class Bench {
  readonly place: BrokerPlace;
  readonly drawsLots: boolean;
  readonly #prefix = `conformance.${randomBytes(6).toString('hex')}`;
  readonly #brokers: Broker[] = [];
  readonly #queues = new Set<string>();

  private constructor(place: BrokerPlace, drawsLots: boolean) {
    this.place = place;
    this.drawsLots = drawsLots;
  }

  static async open(params: BrokerConformanceParams): Promise<Bench> {
    return new Bench(await params.open(), params.drawsLots ?? false);
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

function publish(broker: Broker, queue: string, text: string, properties: Partial<Message['properties']> = {}): Promise<void> {
  return broker.publish(textMessage(text, properties), { exchange: '', routingKey: queue });
}

async function publishAll(broker: Broker, queue: string, texts: readonly string[]): Promise<void> {
  for (const text of texts) await publish(broker, queue, text);
}

const texts = (deliveries: readonly Message[]): string[] => deliveries.map(textOf);
const numbered = (count: number, prefix = ''): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

const deliverySuite: Suite = (test) => {
  test('a message arrives as it was sent', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const body = Buffer.from([0, 1, 255, 128, 10]);
    const message: Message = {
      properties: {
        contentType: 'application/x-test',
        contentEncoding: 'binary',
        correlationId: 'c1',
        replyTo: 'r1',
        deliveryMode: 2,
        priority: 0,
      },
      headers: { id: 'x', text: 'ü "quoted" \u2028', none: null, deep: { list: [1, 'two', true] } },
      body,
    };
    await broker.publish(message, { exchange: '', routingKey: queue });
    const inbox = await openInbox(broker, [queue]);
    const delivery = await inbox.deliveries.next();
    t.match(delivery.properties, message.properties);
    t.strictSame(delivery.headers, message.headers);
    t.ok(delivery.body.equals(body));
    t.equal(delivery.queue, queue);
    t.equal(delivery.exchange, '');
    t.equal(delivery.routingKey, queue);
    t.equal(delivery.redelivered, false);
    t.equal(delivery.deliveryCount, broker.features.countsDeliveries ? 0 : null);
    t.equal(await inbox.subscription.ack(delivery), 'done');
  });

  test('nobody else gets what is held before its time, which moves on while the holder lives', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'held');
    const { broker: doomed, crash } = await bench.place.createDoomed();
    const inbox = await openInbox(doomed, [queue], 1);
    await inbox.deliveries.next();
    const { subscription } = inbox;
    const firstMs = subscription.heldUntilMs;
    t.ok(firstMs > systemClock.monotonic(), 'certain for a while, by the clock of the machine');
    await eventually(t, 'it moves on', () => subscription.heldUntilMs > firstMs || firstMs === Number.POSITIVE_INFINITY);
    t.equal(inbox.held.size, 0, 'it had not passed, so there is nothing to tell');
    const untilMs = subscription.heldUntilMs;
    await crash();
    const heir = await openInbox(broker, [queue], 1);
    t.equal(textOf(await heir.deliveries.next()), 'held');
    const nowMs = systemClock.monotonic();
    // Where nobody outlives the process it is held for ever, and its end here is an orderly one.
    t.ok(nowMs >= untilMs || untilMs === Number.POSITIVE_INFINITY, `taken ${nowMs - untilMs} ms after its time`);
  });

  test('messages keep their order', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const expected = numbered(200);
    const inbox = await openInbox(broker, [queue]);
    await Promise.all(expected.map((text) => publish(broker, queue, text)));
    t.strictSame(texts(await inbox.deliveries.take(200)), expected);
  });

  test('priorities come first in the order the broker says it has', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a', { arguments: { 'x-max-priority': 9 } });
    for (const priority of [3, 0, 9, 3]) await publish(broker, queue, String(priority), { priority });
    const inbox = await openInbox(broker, [queue], 1);
    const order: string[] = [];
    for (let count = 0; count < 4; count++) {
      const delivery = await inbox.deliveries.next();
      order.push(textOf(delivery));
      await inbox.subscription.ack(delivery);
    }
    t.strictSame(order, broker.features.priorityOrder === 'higher-first' ? ['9', '3', '3', '0'] : ['0', '3', '3', '9']);
  });

  test('no more than the prefetch is held, and raising it brings more', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(6));
    const inbox = await openInbox(broker, [queue], 2);
    const [first, second] = await inbox.deliveries.take(2);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'two are held, so no third');
    await inbox.subscription.ack(first!);
    const third = await inbox.deliveries.next();
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    inbox.subscription.setPrefetch(0);
    t.strictSame(texts([second!, third, ...(await inbox.deliveries.take(3))]), ['1', '2', '3', '4', '5']);
  });

  test('several queues take turns', async (t, bench) => {
    const broker = await bench.broker();
    const busy = await bench.queue(broker, 'busy');
    const calm = await bench.queue(broker, 'calm');
    await publishAll(broker, calm, numbered(5, 'calm '));
    // The busy queue never runs dry: one that is asked alone as long as it has something starves the other for ever.
    await publishAll(broker, busy, numbered(20, 'busy '));
    const inbox = await openInbox(broker, [busy, calm], 1);
    let calmCount = 0;
    let busyCount = 0;
    // Where lots are drawn five wins take ten draws on average, and a thousand are never needed.
    while (calmCount < 5 && busyCount < 1000) {
      const delivery = await inbox.deliveries.next();
      if (delivery.queue === calm) calmCount += 1;
      else {
        busyCount += 1;
        await publish(broker, busy, 'one more');
      }
      await inbox.subscription.ack(delivery);
    }
    t.equal(calmCount, 5, `the short queue is not starved by the long one, of which came ${busyCount}`);
    if (bench.drawsLots) return;
    t.ok(busyCount <= 15, `one of each in turn, got ${busyCount} of the long one`);
  });

  test('garbage in the queue harms nobody', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    if (!(await bench.place.putGarbage(queue))) {
      t.comment('this broker carries any bytes');
      return;
    }
    await publish(broker, queue, 'good');
    const inbox = await openInbox(broker, [queue], 1);
    const delivery = await inbox.deliveries.next();
    t.equal(textOf(delivery), 'good');
    await inbox.subscription.ack(delivery);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    t.equal(await broker.countReady(queue), 0, 'it does not come again');
  });
};

const settlementSuite: Suite = (test) => {
  test('what is acknowledged is gone', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'once');
    const inbox = await openInbox(broker, [queue]);
    const delivery = await inbox.deliveries.next();
    t.equal(await inbox.subscription.ack(delivery), 'done');
    t.equal(await inbox.subscription.ack(delivery), 'stale', 'a second settlement');
    await inbox.subscription.release();
    const second = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(second.deliveries.size, 0);
  });

  test('reject with requeue brings it again, marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'again');
    const inbox = await openInbox(broker, [queue], 1);
    const first = await inbox.deliveries.next();
    t.equal(await inbox.subscription.reject(first, { requeue: true }), 'done');
    const second = await inbox.deliveries.next();
    t.equal(textOf(second), 'again');
    t.equal(second.redelivered, true);
    if (broker.features.countsDeliveries) t.equal(second.deliveryCount, 1);
    t.equal(await inbox.subscription.ack(first), 'stale', 'the earlier delivery of the same message');
    t.equal(await inbox.subscription.ack(second), 'done');
  });

  test('reject without requeue drops it', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'bad');
    const inbox = await openInbox(broker, [queue], 1);
    t.equal(await inbox.subscription.reject(await inbox.deliveries.next(), { requeue: false }), 'done');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
  });

  test('release gives back what is held, in order and marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(6));
    const inbox = await openInbox(broker, [queue], 4);
    const held = await inbox.deliveries.take(4);
    await inbox.subscription.release();
    t.equal(await inbox.subscription.ack(held[0]!), 'stale', 'a released delivery is not ours');
    const second = await openInbox(broker, [queue]);
    const all = await second.deliveries.take(6);
    t.strictSame(texts(all), numbered(6));
    t.strictSame(
      all.map((delivery) => delivery.redelivered),
      [true, true, true, true, false, false],
    );
  });

  test('cancel stops deliveries, and what is held can be settled', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(3));
    const inbox = await openInbox(broker, [queue], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.cancel();
    t.equal(await inbox.subscription.ack(held), 'done');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    const second = await openInbox(broker, [queue]);
    t.strictSame(texts(await second.deliveries.take(2)), ['1', '2']);
  });

  test('what a dead consumer held comes back, marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(5));
    const doomed = await bench.place.createDoomed();
    const inbox = await openInbox(doomed.broker, [queue], 3);
    const held = await inbox.deliveries.take(3);
    t.equal(await inbox.subscription.ack(held[0]!), 'done');
    await doomed.crash();
    const survivor = await openInbox(broker, [queue]);
    const seen = new Map<string, Delivery>();
    for (const delivery of await survivor.deliveries.take(4)) seen.set(textOf(delivery), delivery);
    t.strictSame([...seen.keys()].sort(), ['1', '2', '3', '4'], 'all but the acknowledged one');
    t.strictSame(
      // The third may have taken the place of the acknowledged one.
      ['1', '2', '4'].map((text) => seen.get(text)?.redelivered),
      [true, true, false],
    );
  });
};

const flowSuite: Suite = (test) => {
  test('pause holds deliveries back until resume', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue]);
    inbox.subscription.pause();
    await publish(broker, queue, 'later');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    inbox.subscription.resume();
    t.equal(textOf(await inbox.deliveries.next()), 'later');
  });

  test('resumed and paused in one turn: it takes messages when it is resumed again, and ends', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue], 10);
    await bench.settleDown(broker);
    inbox.subscription.pause();
    await bench.settleDown(broker);
    inbox.subscription.resume();
    inbox.subscription.pause();
    await bench.settleDown(broker);
    inbox.subscription.resume();
    await publish(broker, queue, 'later');
    const delivery = await inbox.deliveries.next();
    t.equal(textOf(delivery), 'later');
    t.equal(await inbox.subscription.ack(delivery), 'done');
    inbox.subscription.pause();
    inbox.subscription.resume();
    await inbox.subscription.cancel();
    await broker.stop();
  });

  test('pause from inside a delivery stops the ones behind it', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(5));
    const deliveries = new Arrivals<Delivery>();
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 0,
      onDelivery: (delivery) => {
        deliveries.push(delivery);
        if (textOf(delivery) === '1') subscription.pause();
      },
      onLost: () => {},
      onHeld: () => {},
    });
    const first = await deliveries.take(2);
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'nothing after the pause');
    subscription.resume();
    const rest = await deliveries.take(3);
    t.strictSame(texts([...first, ...rest]), numbered(5));
    t.notOk(
      rest.some((delivery) => delivery.redelivered),
      'those held back were never delivered',
    );
  });

  test('what is settled from inside a delivery is settled, beside other settlements of the turn too', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(3));
    const deliveries = new Arrivals<Delivery>();
    const outcomes = new Arrivals<string>();
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 1,
      onDelivery: (delivery) => {
        if (textOf(delivery) === '1') void subscription.ack(delivery).then((outcome) => outcomes.push(outcome));
        else deliveries.push(delivery);
      },
      onLost: () => {},
      onHeld: () => {},
    });
    const first = await deliveries.next();
    // Room first, then the acknowledgement: the next message may be on its way before this one is settled.
    subscription.setPrefetch(2);
    t.equal(await subscription.ack(first), 'done');
    t.equal(await outcomes.next(), 'done', 'the one settled at once');
    t.equal(await subscription.ack(await deliveries.next()), 'done');
    await subscription.cancel();
    await subscription.release();
    t.equal(await broker.countReady(queue), 0, 'nothing came back');
  });

  test('what is set aside makes room for as many', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 2);
    await publishAll(broker, queue, numbered(6));
    await deliveries.take(2);
    subscription.setPrefetch(2, 3);
    await deliveries.take(3);
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'five are held, three of them set aside');
    t.equal(subscription.hasRoom, false);
    subscription.setPrefetch(2, 4);
    t.equal(textOf(await deliveries.next()), '5');
  });

  test('queues can be added and cancelled', async (t, bench) => {
    const broker = await bench.broker();
    const one = await bench.queue(broker, 'one');
    const two = await bench.queue(broker, 'two');
    const inbox = await openInbox(broker, [one]);
    await publish(broker, two, 'two');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    await inbox.subscription.addQueue(two);
    t.equal(textOf(await inbox.deliveries.next()), 'two');
    t.strictSame([...inbox.subscription.queues].sort(), [one, two].sort());
    await inbox.subscription.cancelQueue(one);
    await publish(broker, one, 'one');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    t.strictSame(inbox.subscription.queues, [two]);
    t.equal(await broker.countReady(one), 1);
  });

  test('purging removes what waits for its time in the queue as well', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const dueAtMs = Date.now() + 3_600_000;
    await publish(broker, queue, 'now');
    await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs });
    await broker.publish(textMessage('later still'), { exchange: '', routingKey: queue, dueAtMs });
    t.equal(await broker.countReady(queue), broker.features.delayedDelivery ? 1 : 3);
    t.equal(await broker.purgeQueue(queue), 3);
    const inbox = await openInbox(broker, [queue]);
    t.same(await inbox.subscription.scheduled(10), []);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
  });

  test('count, purge and delete', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(4));
    t.equal(await broker.countReady(queue), 4);
    const inbox = await openInbox(broker, [queue], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.cancel();
    t.equal(await broker.purgeQueue(queue), 3, 'what is held is not purged');
    t.equal(await broker.countReady(queue), 0);
    t.equal(await inbox.subscription.reject(held, { requeue: true }), 'done');
    t.equal(await broker.countReady(queue), 1);
    await broker.deleteQueue(queue);
    await broker.declareQueue({ name: queue });
    t.equal(await broker.countReady(queue), 0);
  });

  test('there is room until the prefetch, a pause or the end', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 2);
    t.equal(subscription.hasRoom, true);
    await publishAll(broker, queue, numbered(2));
    const [first] = await deliveries.take(2);
    t.equal(subscription.hasRoom, false, 'two are held');
    await subscription.ack(first!);
    t.equal(subscription.hasRoom, true);
    subscription.pause();
    t.equal(subscription.hasRoom, false);
    subscription.resume();
    t.equal(subscription.hasRoom, true);
    subscription.setPrefetch(1);
    t.equal(subscription.hasRoom, false);
    subscription.setPrefetch(0);
    t.equal(subscription.hasRoom, true);
    await subscription.cancel();
    t.equal(subscription.hasRoom, false);
  });

  test('whatever comes is activity, what cannot be decoded too', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 1);
    for (const text of numbered(3)) {
      const before = subscription.activity;
      await publish(broker, queue, text);
      await subscription.ack(await deliveries.next());
      t.ok(subscription.activity > before, `${before} → ${subscription.activity}`);
      await bench.settleDown(broker);
    }
    const before = subscription.activity;
    if (!(await bench.place.putGarbage(queue))) return;
    await eventually(t, 'garbage is activity', () => subscription.activity > before);
    t.equal(deliveries.size, 0);
  });

  test('rebuild: what is held stays valid and does not come again, the rest goes on', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(4));
    const { subscription, deliveries, lost } = await openInbox(broker, [queue], 2);
    const [first, second] = await deliveries.take(2);
    await subscription.rebuild();
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'the prefetch counts what was held before');
    t.equal(await subscription.ack(first!), 'done');
    t.equal(textOf(await deliveries.next()), '2');
    // With a message on its way, over and over.
    for (const text of numbered(20, 'more ')) {
      const sent = publish(broker, queue, text);
      await subscription.rebuild();
      await sent;
    }
    subscription.setPrefetch(0);
    t.strictSame(texts(await deliveries.take(21)), ['3', ...numbered(20, 'more ')]);
    t.equal(await subscription.reject(second!, { requeue: true }), 'done');
    t.match(await deliveries.next(), { redelivered: true });
    await bench.settleDown(broker);
    t.strictSame([deliveries.size, lost.size], [0, 0], 'each once');
    subscription.pause();
    await subscription.rebuild();
    await publish(broker, queue, 'paused');
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'a pause is kept');
    subscription.resume();
    t.equal(textOf(await deliveries.next()), 'paused');
    await subscription.cancel();
    await subscription.rebuild();
    await publish(broker, queue, 'for nobody');
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'what was cancelled stays so');
  });

  test('reconnect: as after a loss, and everything comes that is there', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries, lost } = await openInbox(broker, [queue], 1);
    await publishAll(broker, queue, numbered(2));
    const held = await deliveries.next();
    const states: string[] = [];
    const connected = new Promise<void>((resolve) => {
      broker.onStateChange((state) => {
        states.push(state);
        if (state === 'connected') resolve();
      });
    });
    broker.reconnect('a test wants it');
    await connected;
    t.strictSame(states, ['lost', 'connected']);
    // Held deliveries stay valid, or are named and come again.
    t.equal(await subscription.ack(held), lost.size === 0 ? 'done' : 'stale');
    const rest = lost.size === 0 ? ['1'] : ['0', '1'];
    for (const text of rest) {
      const delivery = await deliveries.next();
      t.equal(textOf(delivery), text);
      t.equal(await subscription.ack(delivery), 'done');
    }
    await publish(broker, queue, 'later');
    t.equal(textOf(await deliveries.next()), 'later');
  });

  test('a publish wakes a waiting consumer of another broker', async (t, bench) => {
    const consumer = await bench.broker();
    const queue = await bench.queue(consumer, 'a');
    const producer = consumer.features.shared ? await bench.broker() : consumer;
    const inbox = await openInbox(consumer, [queue], 1);
    for (const text of numbered(20)) {
      await publish(producer, queue, text);
      const delivery = await inbox.deliveries.next();
      t.equal(textOf(delivery), text);
      await inbox.subscription.ack(delivery);
    }
  });

  test('10,000 messages, two consumers, each message once', async (t, bench) => {
    const count = 10_000;
    const one = await bench.broker();
    const two = one.features.shared ? await bench.broker() : one;
    const queue = await bench.queue(one, 'a');
    const seen = new Map<string, number>();
    const all = Promise.withResolvers<void>();
    let settled = 0;
    for (const broker of [one, two]) {
      const subscription = await broker.consume({
        queues: [queue],
        prefetch: 50,
        onDelivery: (delivery) => {
          seen.set(textOf(delivery), (seen.get(textOf(delivery)) ?? 0) + 1);
          subscription.ack(delivery).then((outcome) => {
            if (outcome !== 'done') all.reject(new Error(`ack of ${textOf(delivery)}: ${outcome}`));
            if (++settled === count) all.resolve();
          }, all.reject);
        },
        onLost: () => all.reject(new Error('a delivery was taken away')),
        onHeld: () => {},
      });
    }
    const sending = numbered(count).map((text) => publish(one, queue, text));
    await Promise.all([all.promise, ...sending]);
    t.equal(seen.size, count);
    t.ok([...seen.values()].every((times) => times === 1));
    t.equal(await one.countReady(queue), 0);
  });
};

const delaySuite: Suite = (test) => {
  test('defer brings it back when it is due, fresh, and makes room meanwhile', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, ['early', 'behind']);
    const inbox = await openInbox(broker, [queue], 1);
    const early = await inbox.deliveries.next();
    t.equal(textOf(early), 'early');
    const dueAtMs = Date.now() + 300;
    t.equal(await inbox.subscription.defer(early, dueAtMs), 'done');
    t.equal(await inbox.subscription.ack(early), 'stale', 'a deferred delivery is settled');
    const behind = await inbox.deliveries.next();
    t.equal(textOf(behind), 'behind', 'the deferred one does not count against the prefetch');
    await inbox.subscription.ack(behind);
    const again = await inbox.deliveries.next();
    t.equal(textOf(again), 'early');
    t.ok(Date.now() >= dueAtMs, 'not before it is due');
    t.equal(again.redelivered, false);
    await inbox.subscription.ack(again);
  });

  test('a message with a due time is held back by brokers that can', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    if (!broker.features.delayedDelivery) {
      t.comment('this broker delivers at once; the consumer defers');
      return;
    }
    const inbox = await openInbox(broker, [queue]);
    const dueAtMs = Date.now() + 200;
    await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs });
    await broker.publish(textMessage('latest'), { exchange: '', routingKey: queue, dueAtMs: dueAtMs + 50 });
    await broker.publish(textMessage('never here'), { exchange: '', routingKey: queue, dueAtMs: Date.now() + 400 * 86_400_000 });
    await publish(broker, queue, 'now');
    await broker.publish(textMessage('past'), { exchange: '', routingKey: queue, dueAtMs: 1000 });
    t.strictSame(texts(await inbox.deliveries.take(2)), ['now', 'past']);
    t.equal(textOf(await inbox.deliveries.next()), 'later');
    t.ok(Date.now() >= dueAtMs);
    t.equal(textOf(await inbox.deliveries.next()), 'latest');
    t.equal(inbox.deliveries.size, 0);
  });
};

const routingSuite: Suite = (test) => {
  test('direct, topic and fanout exchanges route to queues', async (t, bench) => {
    const broker = await bench.broker();
    const direct = bench.name('direct');
    const topic = bench.name('topic');
    const fanout = bench.name('fanout');
    const queues = {
      d1: await bench.queue(broker, 'd1', { exchange: direct, exchangeType: 'direct', routingKey: 'one' }),
      d2: await bench.queue(broker, 'd2', { exchange: direct, exchangeType: 'direct', routingKey: 'two' }),
      t1: await bench.queue(broker, 't1', { exchange: topic, exchangeType: 'topic', routingKey: 'a.*.c' }),
      t2: await bench.queue(broker, 't2', { exchange: topic, exchangeType: 'topic', routingKey: 'a.#' }),
      f1: await bench.queue(broker, 'f1', { exchange: fanout, exchangeType: 'fanout', routingKey: '' }),
      f2: await bench.queue(broker, 'f2', { exchange: fanout, exchangeType: 'fanout', routingKey: '' }),
    };
    const send = (exchange: string, routingKey: string) => broker.publish(textMessage(routingKey), { exchange, routingKey });
    const inbox = await openInbox(broker, Object.values(queues));
    const arrived = async (count: number) =>
      (await inbox.deliveries.take(count)).map((delivery) => delivery.queue.split('.').at(-1)).sort();
    await send(direct, 'one');
    t.strictSame(await arrived(1), ['d1']);
    await send(direct, 'three');
    await send(topic, 'a.b.c');
    t.strictSame(await arrived(2), ['t1', 't2'], 'and the message nobody is bound to was dropped');
    await send(topic, 'a');
    t.strictSame(await arrived(1), ['t2'], '# matches no word as well');
    await send(topic, 'b.b.c');
    await send(fanout, 'whatever');
    t.strictSame(await arrived(2), ['f1', 'f2']);
    t.equal(inbox.deliveries.size, 0);
  });

  test('a mandatory message that nobody takes is refused, naming exchange and key; one that a queue or a listener takes is not', async (t, bench) => {
    const broker = await bench.broker();
    const [direct, topic, fanout] = [bench.name('m.direct'), bench.name('m.topic'), bench.name('m.fanout')];
    const queue = await bench.queue(broker, 'm.d', { exchange: direct, routingKey: 'here' });
    const words = await bench.queue(broker, 'm.t', { exchange: topic, exchangeType: 'topic', routingKey: 'a.#' });
    const send = (exchange: string, routingKey: string, mandatory: boolean) =>
      broker.publish(textMessage(`${routingKey} ${mandatory}`), { exchange, routingKey, mandatory });
    const refused = (exchange: string, routingKey: string) =>
      t.rejects(send(exchange, routingKey, true), {
        code: 'BROKER_REFUSED',
        message: new RegExp(`no queue takes the message for exchange '${exchange}' with routing key '${routingKey}'`),
      });
    const inbox = await openInbox(broker, [queue, words]);
    await send('', queue, true);
    await send(direct, 'here', true);
    await send(direct, 'nowhere', false);
    await refused(direct, 'nowhere');
    await send(topic, 'a.b', true);
    await refused(topic, 'b.a');
    t.strictSame(texts(await inbox.deliveries.take(3)).sort(), ['a.b true', `${queue} true`, 'here true'].sort());
    const heard = new Arrivals<string>();
    const params = {
      exchange: fanout,
      exchangeType: 'fanout',
      routingKey: '',
      onMessage: (message: Message) => heard.push(textOf(message)),
    } as const;
    const listener = await broker.listen(params);
    await send(fanout, 'k', true);
    t.equal(await heard.next(), 'k true');
    await listener.stop();
    await send(fanout, 'k', false);
    await refused(fanout, 'k');
    t.equal(inbox.deliveries.size, 0);
  });

  test('without acknowledgements what is delivered is gone', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'unacknowledged');
    await publishAll(broker, queue, ['0', '1']);
    const arrivals = new Arrivals<Delivery>();
    const lost: unknown[] = [];
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 0,
      noAck: true,
      onDelivery: (delivery) => arrivals.push(delivery),
      onLost: (deliveries) => lost.push(...deliveries),
      onHeld: () => {},
    });
    const before = await arrivals.take(2);
    await publish(broker, queue, '2');
    const after = await arrivals.next();
    t.strictSame(texts([...before, after]), ['0', '1', '2']);
    await eventually(t, 'none is left', async () => (await subscription.ack(after)) === 'stale' && (await broker.countReady(queue)) === 0);
    await subscription.release();
    const inbox = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'nothing comes again');
    t.strictSame(lost, []);
  });

  test('a queue has several bindings, and a message that two of them match comes once', async (t, bench) => {
    const broker = await bench.broker();
    const [topic, direct] = [bench.name('several.topic'), bench.name('several.direct')];
    const queue = await bench.queue(broker, 'several', {
      exchange: topic,
      exchangeType: 'topic',
      routingKey: 'news.#',
      bindings: [
        { exchange: topic, exchangeType: 'topic', routingKey: '*.sport' },
        { exchange: direct, routingKey: 'exactly' },
      ],
    });
    const only = await bench.queue(broker, 'only', { exchange: '', bindings: [{ exchange: direct, routingKey: 'exactly' }] });
    const inbox = await openInbox(broker, [queue]);
    const other = await openInbox(broker, [only]);
    for (const [exchange, routingKey] of [
      [topic, 'weather.sport'],
      [topic, 'weather.rain'],
      [topic, 'news.sport'],
      [direct, 'exactly'],
      [direct, 'nearly'],
      [direct, 'several'],
    ] as const)
      await broker.publish(textMessage(routingKey), { exchange, routingKey });
    await publish(broker, queue, 'last');
    await publish(broker, only, 'last');
    t.same(texts(await inbox.deliveries.take(4)), ['weather.sport', 'news.sport', 'exactly', 'last']);
    t.same(texts(await other.deliveries.take(2)), ['exactly', 'last']);
  });

  test('a copy of a message that was delivered before says so, where a message can', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue]);
    await broker.publish(textMessage('copy'), { exchange: '', routingKey: queue, redelivered: true });
    const copy = await inbox.deliveries.next();
    t.equal(copy.redelivered, broker.features.redelivers !== true);
    await broker.publish(textMessage('new'), { exchange: '', routingKey: queue });
    t.equal((await inbox.deliveries.next()).redelivered, false);
  });

  test('every listener of a broadcast hears it, and nobody else keeps it', async (t, bench) => {
    const one = await bench.broker();
    const two = one.features.shared ? await bench.broker() : one;
    const exchange = bench.name('pidbox');
    const heard = [new Arrivals<string>(), new Arrivals<string>()];
    const listen = (broker: Broker, arrivals: Arrivals<string>) =>
      broker.listen({ exchange, exchangeType: 'fanout', routingKey: '', onMessage: (message) => arrivals.push(textOf(message)) });
    const first = await listen(one, heard[0]!);
    await one.publish(textMessage('one listens'), { exchange, routingKey: '' });
    t.equal(await heard[0]!.next(), 'one listens');
    await listen(two, heard[1]!);
    await one.publish(textMessage('both listen'), { exchange, routingKey: '' });
    await two.publish(textMessage('both still'), { exchange, routingKey: '' });
    t.strictSame(await heard[0]!.take(2), ['both listen', 'both still']);
    t.strictSame(await heard[1]!.take(2), ['both listen', 'both still'], 'nothing from before it listened');
    await first.stop();
    await one.publish(textMessage('two listens'), { exchange, routingKey: '' });
    t.equal(await heard[1]!.next(), 'two listens');
    t.equal(heard[0]!.size, 0, 'not after stop');
  });

  test('topic and direct listeners hear what they asked for', async (t, bench) => {
    const broker = await bench.broker();
    const events = bench.name('events');
    const replies = bench.name('replies');
    const heard = new Arrivals<string>();
    const onMessage = (message: Message, routingKey: string) => heard.push(`${routingKey}=${textOf(message)}`);
    await broker.listen({ exchange: events, exchangeType: 'topic', routingKey: 'worker.#', onMessage });
    await broker.listen({ exchange: replies, exchangeType: 'direct', routingKey: 'me', onMessage });
    await broker.publish(textMessage('0'), { exchange: events, routingKey: 'task.sent' });
    await broker.publish(textMessage('1'), { exchange: events, routingKey: 'worker.online' });
    t.equal(await heard.next(), 'worker.online=1');
    await broker.publish(textMessage('2'), { exchange: replies, routingKey: 'you' });
    await broker.publish(textMessage('3'), { exchange: replies, routingKey: 'me' });
    t.equal(await heard.next(), 'me=3');
    t.equal(heard.size, 0);
  });
};

const lifeSuite: Suite = (test) => {
  test('states, and use before the start', async (t, bench) => {
    const broker = await bench.place.create();
    const states: string[] = [];
    broker.onStateChange((state) => states.push(state));
    t.equal(broker.state, 'stopped');
    await broker.stop();
    await t.rejects(publish(broker, bench.name('a'), 'x'), { code: 'BROKER_UNAVAILABLE' });
    await broker.start();
    t.equal(broker.state, 'connected');
    await Promise.all([broker.stop(), broker.stop()]);
    t.equal(broker.state, 'stopped');
    t.strictSame(states, ['connecting', 'connected', 'stopped']);
    await t.rejects(publish(broker, bench.name('a'), 'x'), { code: 'BROKER_UNAVAILABLE' });
  });

  test('20 rounds of start and stop lose nothing and leave nothing', async (t, bench) => {
    const keeper = await bench.broker();
    const queue = await bench.queue(keeper, 'a');
    for (let round = 0; round < 20; round++) {
      const broker = keeper.features.shared ? await bench.place.create() : keeper;
      await broker.start();
      const inbox = await openInbox(broker, [queue], 2);
      await broker.listen({ exchange: bench.name('x'), exchangeType: 'fanout', routingKey: '', onMessage: () => {} });
      await publish(broker, queue, `${round}`);
      const delivery = await inbox.deliveries.next();
      t.equal(textOf(delivery), `${round}`);
      t.equal(await inbox.subscription.ack(delivery), 'done');
      // A message published and one held while everything stops.
      await publish(broker, queue, `held ${round}`);
      await inbox.deliveries.next();
      const stopping = broker === keeper ? inbox.subscription.release() : broker.stop();
      await stopping;
      const after = await openInbox(keeper, [queue], 1);
      const again = await after.deliveries.next();
      t.equal(textOf(again), `held ${round}`);
      t.equal(again.redelivered, true);
      await after.subscription.ack(again);
      await after.subscription.release();
    }
    t.equal(await keeper.countReady(queue), 0);
  });
};

const operatorSuite: Suite = (test) => {
  const declared = { passive: false, durable: false, autoDelete: false };
  const passive = { ...declared, passive: true };
  const refused = { code: 'BROKER_REFUSED' };

  test('an operator declares, binds, publishes, gets and acknowledges', async (t, bench) => {
    const broker = await bench.broker();
    const channel = await broker.openOperatorChannel();
    const queue = await bench.queue(broker, 'op', { exchange: bench.name('op.own') });
    const exchange = bench.name('op.topic');
    t.match(await channel.declareQueue(queue, passive), { ready: 0 });
    await channel.declareExchange(exchange, 'topic', declared);
    await channel.declareExchange(exchange, 'topic', passive);
    await channel.bindQueue(queue, exchange, 'a.*');
    for (const routingKey of ['a.b', 'b.a', 'a.c'])
      await channel.publish(textMessage(routingKey), { exchange, routingKey, mandatory: false });
    t.match(await channel.lookAtQueue(queue), { ready: 2 });
    const first = await channel.get(queue, { noAck: false });
    t.match(first, { tag: 1, exchange, routingKey: 'a.b', redelivered: false, ready: 1 });
    t.equal(first === null ? '' : textOf(first), 'a.b');
    t.equal(channel.held, 1);
    t.match(await channel.lookAtQueue(queue), { ready: 1 });
    await channel.ack(1);
    t.equal(channel.held, 0);
    await t.rejects(channel.ack(1), refused);
    t.match(await channel.get(queue, { noAck: true }), { tag: 2, routingKey: 'a.c', ready: 0 });
    t.equal(channel.held, 0);
    t.equal(await channel.get(queue, { noAck: false }), null);
    await channel.close();
    const inbox = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'nothing comes again');
  });

  test('what an operator has got is back, marked, when the channel ends, and is not purged', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'op');
    await publishAll(broker, queue, numbered(3));
    const channel = await broker.openOperatorChannel();
    t.match(await channel.get(queue, { noAck: false }), { tag: 1 });
    t.equal(await channel.purgeQueue(queue), 2);
    await channel.close();
    const again = await broker.openOperatorChannel();
    const got = await again.get(queue, { noAck: true });
    t.match(got, { redelivered: true });
    t.equal(got === null ? '' : textOf(got), '0');
    await again.close();
  });

  test('what is not there, or is in use, is refused, and the channel goes on', async (t, bench) => {
    const broker = await bench.broker();
    const channel = await broker.openOperatorChannel();
    const queue = await bench.queue(broker, 'op', { exchange: bench.name('op.x'), routingKey: 'k' });
    const [noQueue, noExchange] = [bench.name('no.queue'), bench.name('no.exchange')];
    await publish(broker, queue, 'one');
    t.equal(await channel.lookAtQueue(noQueue), null);
    await t.rejects(channel.declareQueue(noQueue, passive), refused);
    await t.rejects(channel.purgeQueue(noQueue), refused);
    await t.rejects(channel.get(noQueue, { noAck: false }), refused);
    await t.rejects(channel.bindQueue(queue, noExchange, 'k'), refused);
    await t.rejects(channel.declareExchange(noExchange, 'direct', passive), refused);
    await t.rejects(channel.publish(textMessage('x'), { exchange: noExchange, routingKey: 'k', mandatory: false }), refused);
    await t.rejects(channel.declareExchange(bench.name('op.x'), 'topic', declared), refused, 'it is a direct one');
    await t.rejects(channel.deleteExchange(bench.name('op.x'), { ifUnused: true }), refused);
    await t.rejects(channel.deleteQueue(queue, { ifUnused: false, ifEmpty: true }), refused);
    await channel.deleteExchange(bench.name('op.x'), { ifUnused: false });
    await t.rejects(channel.declareExchange(bench.name('op.x'), 'direct', passive), refused);
    t.equal(await channel.deleteQueue(queue, { ifUnused: false, ifEmpty: false }), 1);
    t.equal(await channel.lookAtQueue(queue), null);
    await channel.close();
  });

  test('queues and bindings are listed where the broker can be asked', async (t, bench) => {
    const broker = await bench.broker();
    const [one, two] = [bench.name('op.one'), bench.name('op.two')];
    const queue = await bench.queue(broker, 'op', {
      exchange: one,
      routingKey: 'k',
      bindings: [{ exchange: two, exchangeType: 'topic', routingKey: '#' }],
    });
    const channel = await broker.openOperatorChannel();
    const bindings = await channel.listBindings();
    const queues = await channel.listQueues();
    t.equal(bindings === null, broker.features.redelivers === true, 'AMQP has no way to ask');
    if (bindings === null || queues === null) {
      t.equal(queues, null);
      return;
    }
    t.strictSame(
      bindings.filter((binding) => binding.queue === queue).toSorted((a, b) => a.exchange.localeCompare(b.exchange)),
      [
        { queue, exchange: one, routingKey: 'k' },
        { queue, exchange: two, routingKey: '#' },
      ],
    );
    t.ok(queues.includes(queue));
    t.equal(await channel.deleteQueue(queue, { ifUnused: false, ifEmpty: true }), 0);
    t.notOk((await channel.listBindings())?.some((binding) => binding.queue === queue));
    t.notOk((await channel.listQueues())?.includes(queue));
    await channel.close();
  });

  test('what waits for its time in the queue is brought forward', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'op');
    await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs: Date.now() + 3_600_000 });
    const channel = await broker.openOperatorChannel();
    t.equal(await channel.bringForward(queue), broker.features.delayedDelivery ? 1 : 0);
    t.match(await channel.get(queue, { noAck: true }), { redelivered: false });
    await channel.close();
  });

  test('a message is put into one queue, wherever its exchange leads', async (t, bench) => {
    const broker = await bench.broker();
    const exchange = bench.name('op.all');
    const [a, b] = [
      await bench.queue(broker, 'a', { exchange, exchangeType: 'topic', routingKey: '#' }),
      await bench.queue(broker, 'b', { exchange, exchangeType: 'topic', routingKey: '#' }),
    ];
    await broker.publish(textMessage('only b'), { exchange, routingKey: 'k', queue: b, mandatory: true });
    t.equal(await broker.countReady(a), 0);
    const inbox = await openInbox(broker, [b]);
    const delivery = await inbox.deliveries.next();
    t.match(delivery, broker.features.redelivers === true ? { exchange: '', routingKey: b } : { exchange, routingKey: 'k' });
    await inbox.subscription.ack(delivery);
  });
};
