/** The watch over consuming: when it is suspicious, which steps it takes in which order, and everything that must not alarm it. */
import t from 'tap';
import { type ConsumptionStep, ConsumptionWatch } from '../../src/consumer/consumption-watch.ts';
import type { UmbelError } from '../../src/errors.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { Recorder, RecordingBroker, RecordingSubscription } from './doubles.ts';

const intervalMs = 30_000;

/** As after SIGSTOP and SIGCONT: time has passed, and no timer came. */
class StoppableClock extends FakeClock {
  #stoodStillMs = 0;

  override monotonic(): number {
    return super.monotonic() + this.#stoodStillMs;
  }

  standStill(ms: number): void {
    this.#stoodStillMs += ms;
  }
}

/** A worker that has heard of nothing: one ready message, room, a free child. */
class Bench {
  readonly clock = new StoppableClock();
  readonly recorder = new Recorder();
  readonly broker = new RecordingBroker(this.recorder);
  readonly subscription: RecordingSubscription;
  readonly log = new RecordingLog();
  readonly stuck: UmbelError[] = [];
  readonly watch: ConsumptionWatch;
  isConsuming = true;
  isFree = true;

  private constructor(limit: ConsumptionStep, everyMs: number, queues: readonly string[]) {
    this.subscription = new RecordingSubscription(this.recorder, queues);
    this.broker.ready = 1;
    this.watch = new ConsumptionWatch({
      broker: this.broker,
      subscription: () => (this.isConsuming ? this.subscription : null),
      hasFreeSlot: () => this.isFree,
      intervalMs: everyMs,
      limit,
      log: this.log,
      clock: this.clock,
      onStuck: (error) => this.stuck.push(error),
    });
  }

  /** Its first interval begins when this resolves. */
  static async started(limit: ConsumptionStep = 'exit', queues: readonly string[] = ['celery']): Promise<Bench> {
    const bench = new Bench(limit, intervalMs, queues);
    await bench.watch.start();
    // The first tick learns how active the subscription has been.
    await bench.clock.advanceAsync(intervalMs / 10);
    return bench;
  }

  static off(): Bench {
    return new Bench('exit', 0, ['celery']);
  }

  async intervals(count: number): Promise<void> {
    await this.clock.advanceAsync(intervalMs * count);
    // What the last tick asked for.
    await this.clock.advanceAsync(0);
  }

  get steps(): string[] {
    return this.recorder.names.filter((name) => name === 'rebuild' || name === 'reconnect');
  }

  get looks(): number {
    return this.recorder.names.filter((name) => name === 'count').length;
  }
}

t.test('ready messages and silence: a new subscription, a new connection, the end', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(1);
  t.equal(bench.looks, 1, 'looked after one interval of silence');
  t.strictSame(bench.steps, [], 'one look proves nothing');
  await bench.intervals(1);
  t.strictSame(bench.steps, ['rebuild']);
  t.match(bench.log.lines, [{ level: 'warning', event: 'consumer.stalled', fields: { step: 'rebuild', ready: 1 } }]);
  t.match(bench.log.lines[0]?.message, /^consumer: 1 messages are ready and a child is free, but nothing was delivered for 60s\./);
  await bench.intervals(1);
  t.strictSame(bench.steps, ['rebuild', 'reconnect']);
  t.match(bench.log.lines[1], { level: 'error', event: 'consumer.stalled', fields: { step: 'reconnect', ready: 1 } });
  t.strictSame(bench.stuck, []);
  await bench.intervals(1);
  t.match(bench.stuck, [{ code: 'CONSUMPTION_STUCK', exitStatus: 75, message: /nothing was delivered for 120s, and neither/ }]);
  await bench.intervals(20);
  t.equal(bench.stuck.length, 1, 'said once');
  t.equal(bench.looks, 4, 'one look per interval, and none after the end');
  t.equal(bench.clock.pending, 0, 'it has stopped');
});

t.test('a delivery at any time ends the suspicion and forgets the steps', async (t) => {
  for (const [steps, taken] of [
    [1, []],
    [2, ['rebuild']],
    [3, ['rebuild', 'reconnect']],
  ] as const) {
    const bench = await Bench.started();
    await bench.intervals(steps);
    t.strictSame(bench.steps, taken);
    bench.subscription.activity += 1;
    await bench.clock.advanceAsync(intervalMs / 10);
    t.equal(bench.log.lines.filter(({ event }) => event === 'consumer.recovered').length, taken.length > 0 ? 1 : 0);
    await bench.intervals(1);
    t.strictSame(bench.steps, taken, 'the first interval of silence after it is only looked at');
    await bench.intervals(1);
    t.strictSame(bench.steps, [...taken, 'rebuild'], 'and then it begins with the first step');
  }
});

t.test('deliveries once per interval: never looked', async (t) => {
  const bench = await Bench.started();
  for (let round = 0; round < 20; round++) {
    await bench.clock.advanceAsync(intervalMs - 100);
    bench.subscription.activity += 1;
    await bench.clock.advanceAsync(100);
  }
  t.equal(bench.looks, 0);
});

t.test('a delivery while the look is on its way', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(1);
  bench.recorder.hold('count');
  await bench.intervals(1);
  bench.subscription.activity += 1;
  await bench.recorder.pass('count');
  t.strictSame(bench.steps, [], 'the count is older than the delivery');
});

t.test('nothing ready: silence is as it should be, and steps are forgotten', async (t) => {
  const bench = await Bench.started();
  bench.broker.ready = 0;
  await bench.intervals(10);
  t.strictSame(bench.steps, []);
  t.equal(bench.looks, 10, 'one look per interval');
  bench.broker.ready = 5;
  await bench.intervals(2);
  t.strictSame(bench.steps, ['rebuild']);
  bench.broker.ready = 0;
  await bench.intervals(1);
  bench.broker.ready = 5;
  await bench.intervals(1);
  t.strictSame(bench.steps, ['rebuild'], 'ready at one look only');
  await bench.intervals(1);
  t.strictSame(bench.steps, ['rebuild', 'rebuild'], 'from the beginning');
});

t.test('ready at every other look: never two in a row', async (t) => {
  const bench = await Bench.started();
  for (let round = 0; round < 20; round++) {
    bench.broker.ready = round % 2;
    await bench.intervals(1);
  }
  t.strictSame(bench.steps, []);
});

t.test('all queues count, with one look for each', async (t) => {
  const bench = await Bench.started('exit', ['mail', 'bulk']);
  await bench.intervals(2);
  t.match(bench.log.lines, [{ fields: { ready: 2 } }]);
  t.equal(bench.looks, 4);
});

const hindrances: readonly (readonly [string, (bench: Bench, is: boolean) => void])[] = [
  [
    'paused, cancelled or at its prefetch',
    (bench, is) => {
      bench.subscription.hasRoom = !is;
    },
  ],
  [
    'every child busy',
    (bench, is) => {
      bench.isFree = !is;
    },
  ],
  ['the connection lost', (bench, is) => bench.broker.enter(is ? 'lost' : 'connected')],
  [
    'not consuming (yet, or any more)',
    (bench, is) => {
      bench.isConsuming = !is;
    },
  ],
];
for (const [title, set] of hindrances) {
  t.test(`${title}: not watched, and the interval begins again`, async (t) => {
    const bench = await Bench.started();
    set(bench, true);
    await bench.intervals(10);
    t.equal(bench.looks, 0);
    set(bench, false);
    await bench.intervals(1);
    t.equal(bench.looks, 1);
    await bench.clock.advanceAsync(intervalMs * 0.5);
    set(bench, true);
    await bench.clock.advanceAsync(intervalMs / 10);
    set(bench, false);
    await bench.clock.advanceAsync(intervalMs * 0.7);
    t.equal(bench.looks, 1, 'the interval was interrupted');
    await bench.clock.advanceAsync(intervalMs * 0.4);
    t.equal(bench.looks, 2);
    t.strictSame(bench.steps, [], 'and so was the suspicion');
  });

  t.test(`${title} while the look is on its way`, async (t) => {
    const bench = await Bench.started();
    await bench.intervals(1);
    bench.recorder.hold('count');
    await bench.intervals(1);
    set(bench, true);
    await bench.recorder.pass('count');
    t.strictSame(bench.steps, []);
  });
}

t.test('the connection is lost after a step: the next step comes all the same', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(3);
  t.strictSame(bench.steps, ['rebuild', 'reconnect']);
  bench.broker.enter('lost');
  await bench.clock.advanceAsync(intervalMs / 5);
  bench.broker.enter('connected');
  await bench.intervals(1);
  t.strictSame(bench.stuck, [], 'a whole interval of its own, twice');
  await bench.intervals(1);
  t.equal(bench.stuck.length, 1);
});

t.test('a process that stood still has not watched', async (t) => {
  const bench = await Bench.started();
  for (let round = 0; round < 8; round++) {
    bench.clock.standStill(10 * intervalMs);
    await bench.clock.advanceAsync(intervalMs / 5);
  }
  t.equal(bench.looks, 0, 'eighty intervals by the clock, not one of them watched');
  await bench.intervals(2);
  t.equal(bench.looks, 2);
});

t.test('a look that fails proves nothing, and is said once', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(1);
  bench.recorder.fail('count', new Error('not allowed'));
  await bench.intervals(10);
  t.strictSame(bench.steps, []);
  t.strictSame(
    bench.log.lines.map(({ level, event, message }) => [level, event, message]),
    [['warning', 'consumer.look-failed', 'consumer: ready messages cannot be counted: not allowed']],
  );
  bench.recorder.fail('count', null);
  await bench.intervals(1);
  t.strictSame(bench.steps, [], 'what was seen before it does not count any more');
  await bench.intervals(1);
  t.strictSame(bench.steps, ['rebuild']);
});

t.test('a look that is never answered: a new connection, never the end', async (t) => {
  const bench = await Bench.started();
  bench.recorder.hold('count');
  await bench.intervals(2);
  t.strictSame(bench.steps, []);
  t.equal(bench.looks, 2, 'asked again');
  await bench.intervals(1);
  t.strictSame(bench.steps, ['reconnect']);
  t.match(bench.log.lines, [{ level: 'error', event: 'consumer.stalled', message: /the broker has not answered for 90s/ }]);
  await bench.intervals(30);
  t.ok(bench.steps.length > 5, 'again and again');
  t.notOk(bench.steps.includes('rebuild'));
  t.strictSame(bench.stuck, []);
});

t.test('an answer that comes too late is not used', async (t) => {
  const bench = await Bench.started();
  bench.recorder.hold('count');
  await bench.intervals(2);
  await bench.recorder.pass('count');
  t.strictSame(bench.steps, []);
  await bench.recorder.pass('count');
  t.strictSame(bench.steps, [], 'the first one that counts');
  await bench.intervals(1);
  await bench.recorder.pass('count');
  t.strictSame(bench.steps, ['rebuild']);
});

t.test('as far as it may go, and then from the beginning', async (t) => {
  const rebuilding = await Bench.started('rebuild');
  await rebuilding.intervals(6);
  t.strictSame(rebuilding.steps, ['rebuild', 'rebuild', 'rebuild']);
  const silent = await Bench.started('rebuild');
  silent.recorder.hold('count');
  await silent.intervals(10);
  t.strictSame(silent.steps, [], 'no connection is given up when that is not wanted');
  const reconnecting = await Bench.started('reconnect');
  await reconnecting.intervals(6);
  t.strictSame(reconnecting.steps, ['rebuild', 'reconnect', 'rebuild', 'reconnect']);
  t.strictSame([...rebuilding.stuck, ...silent.stuck, ...reconnecting.stuck], []);
});

t.test('a subscription that cannot be rebuilt', async (t) => {
  const bench = await Bench.started();
  bench.recorder.fail('rebuild', new Error('no channel'));
  await bench.intervals(3);
  t.match(await bench.log.event('consumer.rebuild-failed'), { message: 'consumer: it could not be consumed anew: no channel' });
  t.strictSame(bench.steps, ['rebuild', 'reconnect']);
});

t.test('stopped, and off', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(1);
  await bench.watch.stop();
  await bench.intervals(10);
  t.strictSame(bench.steps, []);
  t.equal(bench.clock.pending, 0);
  const off = Bench.off();
  await off.watch.start();
  t.equal(off.clock.pending, 0);
  await off.watch.stop();
});

t.test('it is helpless once its last step has not helped, for as long as it should get messages', async (t) => {
  for (const limit of ['rebuild', 'reconnect'] as const) {
    const bench = await Bench.started(limit);
    const steps = limit === 'rebuild' ? 1 : 2;
    await bench.intervals(1 + steps);
    t.equal(bench.steps.length, steps);
    t.notOk(bench.watch.helpless, 'the last step may help yet');
    await bench.intervals(1);
    t.ok(bench.watch.helpless, 'it has not');
    t.ok(bench.watch.stalled);
    await bench.intervals(7);
    t.ok(bench.watch.helpless, 'while it begins again');
    bench.isFree = false;
    t.notOk(bench.watch.helpless, 'a reason not to consume');
    bench.isFree = true;
    bench.isConsuming = false;
    t.notOk(bench.watch.helpless, 'another');
    bench.isConsuming = true;
    t.ok(bench.watch.helpless);
    bench.subscription.activity += 1;
    t.notOk(bench.watch.helpless, 'something has come');
    await bench.clock.advanceAsync(intervalMs / 10);
    t.notOk(bench.watch.helpless);
    await bench.intervals(2);
    t.notOk(bench.watch.helpless, 'the steps are taken anew before');
    bench.broker.ready = 0;
    await bench.intervals(8);
    t.notOk(bench.watch.helpless, 'and nothing is ready');
    t.notOk(bench.watch.stalled);
    await bench.watch.stop();
  }
});

t.test('with the end as its last step it is never helpless', async (t) => {
  const bench = await Bench.started();
  await bench.intervals(10);
  t.equal(bench.stuck.length, 1);
  t.notOk(bench.watch.helpless);
});
