/**
 * A message that comes while the watch is being armed again must not wait for the look by the clock.
 *
 * That look is put off to where it cannot help: a wake-up that got lost then takes a quarter of a minute, and not up to a second.
 */
import t, { type Test } from 'tap';
import { KeyLayout } from '../../../src/broker/redis/key-layout.ts';
import { ReadyWatch } from '../../../src/broker/redis/ready-watch.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import type { RedisConnection } from '../../../src/driver/redis.ts';
import { encodeEnvelope } from '../../../src/protocol/virtual-envelope.ts';
import { type Clock, FakeClock, systemClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { SeededRandom } from '../../live/seeded-random.ts';
import { eventually } from '../../pool/eventually.ts';
import { RedisServer } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { redisConnection } from './redis-place.ts';

const times = 2000;
const lookByTheClockMs = 1000;
const putOffMs = 15_000;
/** What is left to others is left for so long. */
const leaveMs = 250;
/** Far below that, and far above what a busy machine makes of a millisecond. */
const lostAboveMs = 5000;
/** Reservation, look and reply of an idle queue take about this long: what is sent within it meets all of them. */
const rearmMicros = 1500;
/** One message in so many comes while the server is told anew what to track, one in so many while who is told of it has just gone. */
const anewEvery = 20;
const goneEvery = 200;

/** As the system's, but nobody looks by the clock. */
const clock: Clock = {
  ...systemClock,
  setTimer: (callback, delayMs, options) => systemClock.setTimer(callback, delayMs === lookByTheClockMs ? putOffMs : delayMs, options),
};

function spin(micros: number): void {
  const untilMs = performance.now() + micros / 1000;
  while (performance.now() < untilMs);
}

t.test(`${times} messages and more, each at a random instant while the watch is armed again`, async (t) => {
  t.setTimeout(240_000);
  const random = SeededRandom.fromEnvironment('WATCH_SEED');
  t.comment(`WATCH_SEED=${random.seed}`);
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const broker = new RedisBroker({ connection: redisConnection(server.url(), { log }), log, clock });
  t.teardown(() => broker.stop());
  await broker.start();
  const client = redisConnection(server.url());
  await client.acquire();
  t.teardown(() => client.release());
  const inbox = await openInbox(broker, ['celery', 'other'], 4);
  const latenciesMs: number[] = [];
  const layout = new KeyLayout({}, 0);
  const expected = new Set<string>();
  const send = (text: string): void => {
    const queue = random.below(2) === 0 ? 'celery' : 'other';
    const envelope = encodeEnvelope(textMessage(text), { exchange: '', routingKey: queue, deliveryTag: `tag ${text}` });
    expected.add(text);
    client.call('LPUSH', layout.list(queue, random.below(2) === 0 ? 0 : 9), envelope).catch((error: unknown) => t.error(error));
  };
  /** With the event loop running on, or standing still so that replies pile up. */
  const pass = async (): Promise<void> => {
    const micros = random.below(rearmMicros);
    if (random.below(4) === 0) spin(micros);
    else for (const untilMs = performance.now() + micros / 1000; performance.now() < untilMs; ) await new Promise(setImmediate);
  };
  for (let at = 0; at < times; at++) {
    if (random.below(anewEvery) === 0) void inbox.subscription.rebuild();
    if (random.below(goneEvery) === 0) client.call('CLIENT', 'KILL', 'TYPE', 'pubsub').catch((error: unknown) => t.error(error));
    await pass();
    const sentAtMs = performance.now();
    send(`${at}`);
    // Others while the first is being taken, into the same list or another.
    for (let more = random.below(3); more > 0; more--) {
      await pass();
      send(`${at} and ${more}`);
    }
    while (expected.size > 0) {
      const delivery = await inbox.deliveries.next();
      if (!expected.delete(textOf(delivery))) t.fail(`it must be one of ${[...expected]}, got ${textOf(delivery)}`);
      void inbox.subscription.ack(delivery);
    }
    latenciesMs.push(performance.now() - sentAtMs);
    if (performance.now() - sentAtMs >= lostAboveMs) break;
  }
  latenciesMs.sort((a, b) => a - b);
  const [median = 0, most = 0] = [latenciesMs[Math.floor(latenciesMs.length / 2)], latenciesMs.at(-1)];
  t.comment(`publish to delivery: median ${median.toFixed(2)} ms, longest ${most.toFixed(1)} ms`);
  t.ok(most < lostAboveMs, `no wake-up got lost: the longest took ${most.toFixed(1)} ms`);
  t.notOk(
    log.lines.some(({ event }) => event === 'redis.polling'),
    'the server told of each',
  );
});

/** A watch whose server says nothing but what the test announces. */
function silent(t: Test, clientId: number | null = 1) {
  const clock = new FakeClock();
  const seen = { asked: 0, woken: 0, announce: (_payload: readonly string[]): void => {} };
  const subscriber = {
    clientId,
    connected: true,
    onReady: () => () => {},
    subscribe: async (_channel: string, onMessage: typeof seen.announce) => {
      seen.announce = onMessage;
      return async () => {};
    },
  };
  const connection = {
    state: 'connected',
    epoch: 1,
    subscriber,
    call: async () => 'OK',
    enqueue: () => {
      seen.asked += 1;
    },
  } as unknown as RedisConnection;
  const watch = new ReadyWatch({ connection, log: new RecordingLog(), clock });
  t.teardown(() => watch.stop());
  const watched = watch.add(['celery'], () => {
    seen.woken += 1;
  });
  return { clock, seen, watched };
}

t.test('refused: the next look is the one by the clock, also when something has come meanwhile', async (t) => {
  const { clock, seen, watched } = silent(t);
  for (const round of [1, 2, 3]) {
    if (round !== 2) seen.announce(['celery']);
    watched.refused();
    clock.advance(lookByTheClockMs - 1);
    t.equal(seen.woken, round - 1, 'not at once: that would be refused, too');
    clock.advance(1);
    t.equal(seen.woken, round);
  }
  t.equal(seen.asked, 0, 'nor does the server look');
});

t.test('a wake-up that got lost costs a second', async (t) => {
  const { clock, seen, watched } = silent(t);
  for (const round of [1, 2]) {
    t.equal(watched.empty(), true);
    clock.advance(1000);
    t.equal(seen.woken, round);
  }
});

t.test('polled: every 2 milliseconds while messages come, every 50 when none do', async (t) => {
  const { clock, seen, watched } = silent(t, null);
  const pause = (): number => {
    const { woken } = seen;
    t.equal(watched.empty(), true);
    let ms = 0;
    for (; seen.woken === woken && ms < lookByTheClockMs; ms++) clock.advance(1);
    return ms;
  };
  t.equal(pause(), 0, 'that it must look for itself it hears at once');
  const pauses = Array.from({ length: 30 }, pause);
  t.strictSame([pauses[0], pauses.at(-1)], [2, 50]);
  watched.busy();
  t.equal(pause(), 2);
});

t.test('a subscriber that the server does not know has gone, or is of another server', async (t) => {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const looks: { failed(failure: Error): void }[] = [];
  const asked: unknown[] = [];
  const subscriber = { clientId: 1, connected: true, onReady: () => () => {}, subscribe: async () => async () => {} };
  const connection = {
    state: 'connected',
    epoch: 1,
    subscriber,
    call: (...command: readonly unknown[]) => {
      asked.push(command[4]);
      return Promise.reject(new Error('The client ID you want redirect to does not exist'));
    },
    enqueue: (look: { failed(failure: Error): void }) => looks.push(look),
  } as unknown as RedisConnection;
  const watch = new ReadyWatch({ connection, log, clock });
  t.teardown(() => watch.stop());
  const watched = watch.add(['celery'], () => {});
  /** What was asked in that turn is refused in it, the look first. */
  const refused = async (): Promise<void> => {
    watched.empty();
    for (const look of looks.splice(0)) look.failed(new Error('ERR CLIENT CACHING can be called only when the client is in tracking mode'));
    await new Promise((resolve) => setImmediate(resolve));
  };
  await refused();
  await refused();
  t.same([asked, watch.mode], [[1], 'tracking'], 'it is not asked again at once');
  subscriber.clientId = 2;
  await refused();
  t.same([asked, watch.mode], [[1, 2], 'tracking'], 'it has come back');
  clock.advance(lookByTheClockMs);
  await refused();
  t.same([asked, watch.mode], [[1, 2, 2], 'poll'], 'the same one, a second later');
  t.match(log.lines, [{ event: 'redis.polling' }]);
});

t.test('what is left to others: they get it, nothing else waits for it, and it is taken when nobody is there', async (t) => {
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const ends: (() => void)[] = [];
  // The moment in which it is left to others lasts until the test ends it.
  const lasting: Clock = {
    ...clock,
    setTimer: (callback, delayMs, options) => {
      if (delayMs === leaveMs) ends.push(callback);
      return clock.setTimer(callback, delayMs === leaveMs ? putOffMs : delayMs, options);
    },
  };
  const connection = redisConnection(server.url(), { log });
  const leaving = new RedisBroker({ connection, log, clock: lasting });
  const other = new RedisBroker({ connection: redisConnection(server.url(), { log }), log, clock });
  for (const broker of [leaving, other]) {
    t.teardown(() => broker.stop());
    await broker.start();
  }
  const mine = await openInbox(leaving, ['celery', 'second'], 4);
  await eventually(t, 'the server can tell it of new messages', () => connection.subscriber.clientId !== null);
  const theirs = await openInbox(other, ['celery'], 4);
  /** When it waits: what has been asked of the server before is answered. */
  const leave = async (text: string): Promise<void> => {
    await leaving.countReady('celery');
    await leaving.publish(textMessage(text), { exchange: '', routingKey: 'celery', othersFirst: true });
  };
  for (let at = 0; at < 50; at++) {
    await leave(`${at}`);
    const delivery = await theirs.deliveries.next();
    t.equal(textOf(delivery), `${at}`);
    await theirs.subscription.ack(delivery);
  }
  await theirs.subscription.cancel();
  const taken = async (): Promise<string> => {
    const delivery = await mine.deliveries.next();
    await mine.subscription.ack(delivery);
    return textOf(delivery);
  };
  for (const queue of ['celery', 'second']) {
    await leave('left');
    await other.publish(textMessage('known'), { exchange: '', routingKey: queue });
    t.same([await taken(), await taken()].sort(), ['known', 'left'], `what comes into ${queue} wakes it`);
  }
  await leave('nobody took it');
  for (const end of ends.splice(0)) end();
  t.equal(await taken(), 'nobody took it');
});
