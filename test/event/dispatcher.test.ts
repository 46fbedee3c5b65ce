/** Events go out at once or in lists, wait for a broker that is away, and are bounded. */
import t, { type Test } from 'tap';
import type { BrokerState, Destination } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { EventDispatcher } from '../../src/event/dispatcher.ts';
import { Heartbeat } from '../../src/event/heartbeat.ts';
import { type Event, readEvents } from '../../src/protocol/event.ts';
import type { Message } from '../../src/protocol/message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

/** A broker whose connection the test takes away. */
class FickleBroker extends MemoryBroker {
  readonly #listeners: ((state: BrokerState) => void)[] = [];
  away = false;
  override get state(): BrokerState {
    return this.away ? 'lost' : super.state;
  }
  override onStateChange(listener: (state: BrokerState, cause: Error | null) => void): () => void {
    this.#listeners.push((state) => listener(state, null));
    return super.onStateChange(listener);
  }
  override publish(message: Message, destination: Destination): Promise<void> {
    return this.away ? Promise.reject(new Error('away')) : super.publish(message, destination);
  }
  back(): void {
    this.away = false;
    for (const listener of this.#listeners) listener('connected');
  }
}

async function scene(t: Test, maxWaiting = 100) {
  const clock = new FakeClock();
  const broker = new FickleBroker({ hub: new MemoryHub() });
  await broker.start();
  t.teardown(() => broker.stop());
  const heard: { routingKey: string; events: Event[]; message: Message }[] = [];
  let wake = (): void => {};
  await broker.listen({
    exchange: 'celeryev',
    exchangeType: 'topic',
    routingKey: '#',
    onMessage: (message, routingKey) => {
      heard.push({ routingKey, events: readEvents(message, ['json']), message });
      wake();
    },
  });
  const until = async (count: number): Promise<void> => {
    while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  const log = new RecordingLog();
  const dispatcher = new EventDispatcher({
    broker,
    origin: { hostname: 'w1@x', pid: 7 },
    logicalClock: new LamportClock(),
    exchange: 'celeryev',
    log,
    clock,
    maxWaiting,
  });
  dispatcher.start();
  return { broker, dispatcher, heard, until, clock, log };
}

t.test('one of a worker alone; those of tasks in one list; fields in Celery’s order', async (t) => {
  const { dispatcher, heard, until, clock } = await scene(t);
  dispatcher.send('worker-elect-ack', { id: 'x' });
  dispatcher.started('a');
  dispatcher.succeeded('a', '3', 0.5);
  await until(2);
  t.same(
    heard.map(({ routingKey }) => routingKey),
    ['worker.elect.ack', 'task.multi'],
  );
  t.same(Object.keys(heard[0]!.events[0]!), ['hostname', 'utcoffset', 'pid', 'clock', 'id', 'timestamp', 'type']);
  t.match(heard[0]!.message, {
    properties: { contentType: 'application/json', deliveryMode: 1, priority: 0 },
    headers: { hostname: 'w1@x' },
  });
  t.match(heard[1]!.events, [
    { clock: 2, uuid: 'a', type: 'task-started', timestamp: clock.now() / 1000 },
    { clock: 3, uuid: 'a', result: '3', runtime: 0.5, type: 'task-succeeded' },
  ]);
});

t.test('a list is sent when it is long enough', async (t) => {
  const { dispatcher, heard, until } = await scene(t);
  for (let at = 0; at < 450; at++) dispatcher.started(String(at));
  await until(3);
  t.same(
    heard.map(({ events }) => events.length),
    [200, 200, 50],
  );
});

t.test('while the broker is away they wait, in order; the oldest are dropped beyond the bound, which is said once', async (t) => {
  const { broker, dispatcher, heard, until, log } = await scene(t, 3);
  broker.away = true;
  for (let at = 0; at < 5; at++) dispatcher.send('worker-heartbeat', { at });
  t.equal(log.lines.filter(({ event }) => event === 'event.dropped').length, 1);
  broker.back();
  await until(3);
  t.same(
    heard.map(({ events }) => events[0]!.at),
    [2, 3, 4],
  );
});

t.test('events that the broker refuses are said once, until one is taken again', async (t) => {
  const { broker, dispatcher, heard, until, log } = await scene(t);
  const lines = (): number => log.lines.filter(({ event }) => event === 'event.not-sent').length;
  const { publish } = broker;
  broker.publish = () => Promise.reject(new Error('refused'));
  for (let at = 0; at < 5; at++) dispatcher.send('worker-heartbeat', { at });
  await dispatcher.stop();
  t.equal(lines(), 1);
  broker.publish = publish;
  dispatcher.start();
  dispatcher.send('worker-heartbeat', { at: 5 });
  await until(1);
  t.equal(heard[0]!.events[0]!.at, 5);
  await dispatcher.stop();
  broker.publish = () => Promise.reject(new Error('refused'));
  dispatcher.start();
  dispatcher.send('worker-heartbeat', { at: 6 });
  await dispatcher.stop();
  t.equal(lines(), 2);
});

t.test('stopping does not wait for a broker that takes nothing', async (t) => {
  const { dispatcher, broker, clock, log } = await scene(t);
  await dispatcher.stop();
  const { promise, reject } = Promise.withResolvers<void>();
  broker.publish = () => promise;
  dispatcher.start();
  dispatcher.send('worker-offline', {});
  await new Promise((resolve) => setImmediate(resolve));
  const stopped = dispatcher.stop();
  clock.advance(2000);
  await t.resolves(stopped);
  reject(new Error('it was stopped'));
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(
    log.lines.map(({ message }) => message),
    ['The last events may be lost: the broker has not taken them within 2 s'],
    'and not that we stop it',
  );
});

t.test('stopping waits for what is on its way', async (t) => {
  const { dispatcher, heard } = await scene(t);
  dispatcher.started('last');
  await dispatcher.stop();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(heard.length, 1);
});

t.test('a heartbeat: online, every so often, when asked, offline', async (t) => {
  const { dispatcher, heard, until, clock } = await scene(t);
  const heartbeat = new Heartbeat({ dispatcher, intervalMs: 2000, clock, active: () => 1, processed: () => 5 });
  await heartbeat.stop();
  await heartbeat.start();
  clock.advance(2000);
  clock.advance(1000);
  heartbeat.beat();
  await heartbeat.stop();
  clock.advance(10_000);
  await until(4);
  t.match(
    heard.map(({ events }) => events[0]),
    [
      {
        type: 'worker-online',
        freq: 2,
        active: 1,
        processed: 5,
        loadavg: [Number, Number, Number],
        sw_ident: 'umbel',
        sw_ver: /\d/,
        sw_sys: /./,
      },
      { type: 'worker-heartbeat', freq: 2 },
      { type: 'worker-heartbeat', freq: 5 },
      { type: 'worker-offline' },
    ],
  );
  t.notOk('active' in heard[2]!.events[0]!, 'what was asked for says only who is there');
});
