/** Until when what a worker holds is certainly its own: replies come when the test gives them, and the clock moves when it says so. */
import t from 'tap';
import { KeyLayout } from '../../../src/broker/redis/key-layout.ts';
import { renewScript, signOfLifeScript } from '../../../src/broker/redis/lease-scripts.ts';
import { WorkerLease } from '../../../src/broker/redis/worker-lease.ts';
import type { RedisConnection } from '../../../src/driver/redis.ts';
import type { RedisScript } from '../../../src/driver/redis-script.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Call {
  readonly name: 'sign' | 'renew' | 'other';
  readonly args: readonly unknown[];
  reply(value: unknown): Promise<void>;
  fail(): Promise<void>;
}

const leaseMs = 1000;
/** A tenth of it. */
const marginMs = 100;

class Bench {
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  /** Sent and not answered. */
  readonly calls: Call[] = [];
  /** What was told, in order. */
  readonly told: string[] = [];
  tags = ['a', 'b'];
  deferred: string[] = [];
  alive = 0;
  readonly lease: WorkerLease;
  connected = true;

  constructor(visibilityTimeoutMs = 1_000_000) {
    const bench = this;
    const connection = {
      get state(): string {
        return bench.connected ? 'connected' : 'lost';
      },
      run: (script: RedisScript, _keys: unknown, args: readonly unknown[]) => this.#run(script, args),
    };
    this.lease = new WorkerLease({
      connection: connection as unknown as RedisConnection,
      layout: new KeyLayout({}, 0),
      workerLeaseMs: leaseMs,
      visibilityTimeoutMs,
      log: this.log,
      clock: this.clock,
      heldTags: () => this.tags,
      deferredTags: () => this.deferred,
      onGone: (tags) => this.told.push(`gone ${tags.join()}`),
      onAlive: () => {
        this.alive += 1;
      },
      onHeld: () => this.told.push('held'),
      onDead: () => {},
      onLate: () => this.told.push('late'),
    });
  }

  /** Held since 0, and nothing to do. */
  static async held(visibilityTimeoutMs?: number): Promise<Bench> {
    const bench = new Bench(visibilityTimeoutMs);
    const held = bench.lease.hold();
    await bench.answer('sign', [1]);
    await bench.answer('renew', []);
    await held;
    bench.told.length = 0;
    return bench;
  }

  get untilMs(): number {
    return this.lease.heldUntilMs;
  }

  /** The next call must be this one. */
  async answer(name: Call['name'], value: unknown): Promise<void> {
    const call = this.calls.shift();
    if (call?.name !== name) throw new Error(`the next call must be ${name}, got ${call?.name}; then ${this.calls.map((one) => one.name)}`);
    await call.reply(value);
  }

  /** The clock moves while this process stands still: what was due happens after that. */
  async standStill(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms);
  }

  #run(script: RedisScript, args: readonly unknown[]): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.calls.push({
      name: script === signOfLifeScript ? 'sign' : script === renewScript ? 'renew' : 'other',
      args,
      reply: async (value) => {
        resolve(value);
        await nextTurn();
      },
      fail: async () => {
        reject(new Error('refused'));
        await nextTurn();
      },
    });
    return promise;
  }
}

t.test('it counts from when the last confirmed sign of life was sent', async (t) => {
  const bench = new Bench();
  t.equal(bench.untilMs, Number.NEGATIVE_INFINITY);
  const held = bench.lease.hold();
  bench.clock.advance(50);
  await bench.answer('sign', [1]);
  t.equal(bench.untilMs, Number.NEGATIVE_INFINITY, 'not before everything was looked after once');
  await bench.answer('renew', []);
  await held;
  t.equal(bench.untilMs, leaseMs - marginMs, 'the reply took 50 ms, which do not count');
  bench.clock.advance(leaseMs / 3 - 50 + 50);
  const sentAtMs = 50 + leaseMs / 3;
  t.same(
    bench.calls.map(({ name }) => name),
    ['sign'],
  );
  t.equal(bench.untilMs, leaseMs - marginMs, 'a sign that is only sent changes nothing');
  await bench.answer('sign', [1]);
  t.equal(bench.untilMs, sentAtMs + leaseMs - marginMs);
  t.same(bench.calls, [], 'in good time nothing needs to be found out');
  t.same(bench.told, ['held'], 'at the start alone');
});

t.test('a lost connection does not shorten it; it passes, and comes back when what was lost is known', async (t) => {
  const bench = await Bench.held();
  bench.connected = false;
  t.equal(bench.untilMs, leaseMs - marginMs);
  await bench.standStill(5000);
  t.equal(bench.untilMs, leaseMs - marginMs);
  t.same(bench.calls, []);
  bench.connected = true;
  bench.lease.reconnected();
  await bench.answer('sign', [1]);
  t.same(bench.told, [], 'alive again, and nobody knows yet what was taken');
  t.equal(bench.untilMs, leaseMs - marginMs);
  await bench.answer('renew', [2]);
  t.same(bench.told, ['gone b', 'held'], 'the bad news first');
  t.equal(bench.untilMs, 5000 + leaseMs - marginMs);
});

t.test('a renewal that began before it came back to life has not seen everything', async (t) => {
  const bench = await Bench.held();
  const early = bench.lease.renew();
  const [renewal] = bench.calls.splice(0);
  await bench.standStill(leaseMs * 2);
  bench.calls.length = 0;
  bench.lease.reconnected();
  await bench.answer('sign', [1]);
  await renewal!.reply([]);
  t.equal(await early, true);
  t.same(bench.told, []);
  t.equal(bench.untilMs, leaseMs - marginMs);
  await bench.answer('renew', [1]);
  t.same(bench.told, ['gone a', 'held']);
});

t.test('a standstill that nobody has noticed costs nothing: the lease is still there', async (t) => {
  const bench = await Bench.held();
  bench.connected = false;
  await bench.standStill(leaseMs * 2);
  bench.connected = true;
  const standstillMs = bench.clock.monotonic();
  await bench.clock.advanceAsync(leaseMs / 3);
  await bench.answer('sign', [1]);
  t.same(bench.told, ['held']);
  t.ok(bench.untilMs >= standstillMs + leaseMs - marginMs);
});

t.test('a renewal that takes longer than the lease: signs of life given meanwhile count', async (t) => {
  const bench = await Bench.held();
  bench.tags = Array.from({ length: 5000 }, (_, at) => `tag ${at}`);
  bench.lease.revive();
  await bench.answer('sign', [1]);
  for (let step = 0; step < 5; step++) {
    t.same(bench.told, [], 'what was taken is not known yet');
    await bench.clock.advanceAsync(leaseMs / 2);
    for (const call of bench.calls.splice(0)) await call.reply(call.name === 'sign' ? [1] : []);
  }
  t.same(bench.told, ['held']);
  t.ok(bench.untilMs > bench.clock.monotonic() + leaseMs / 2);
  t.same(bench.calls, [], 'and no second renewal is under way');
});

t.test('what waits for its time is renewed last, and starts do not wait for it', async (t) => {
  const bench = await Bench.held();
  bench.deferred = Array.from({ length: 2500 }, (_, at) => `later ${at}`);
  bench.lease.revive();
  await bench.answer('sign', [1]);
  t.same(bench.calls[0]?.args, ['a', 'b'], 'what may be started comes first');
  await bench.answer('renew', []);
  t.same(bench.told, ['held']);
  const sizes: number[] = [];
  // Coming back to life again meanwhile does not wait for them either.
  bench.lease.reconnected();
  const later = bench.calls.shift()!;
  await bench.answer('sign', [1]);
  await bench.answer('renew', []);
  for (let call: Call | undefined = later; call !== undefined; call = bench.calls.shift()) {
    sizes.push(call.args.length);
    await call.reply(sizes.length === 2 ? [3] : []);
  }
  t.same(sizes, [1000, 1000, 500]);
  t.same(bench.told, ['held', 'gone later 1002']);
});

t.test('taken for dead again and again: back at once, then with a pause, and nothing is reserved meanwhile', async (t) => {
  const bench = await Bench.held();
  const back = async (): Promise<void> => {
    for (let call = bench.calls.shift(); call !== undefined; call = bench.calls.shift()) await call.reply(call.name === 'sign' ? [1] : []);
  };
  bench.lease.revive();
  t.equal(bench.lease.held, false);
  await back();
  t.equal(bench.lease.held, true);
  t.ok(bench.alive > 0, 'whoever gave up goes on');
  for (let again = 0; again < 3; again++) {
    const { alive } = bench;
    bench.lease.revive();
    bench.lease.revive();
    t.same(bench.calls, [], 'not at once');
    t.equal(bench.lease.held, false);
    await bench.clock.advanceAsync(50 * 2 ** again);
    await back();
    t.equal(bench.lease.held, true);
    t.ok(bench.alive > alive);
  }
  await bench.clock.advanceAsync(leaseMs);
  await back();
  bench.lease.revive();
  t.equal(bench.calls.length, 1, 'a lease later it is a new beginning');
});

t.test('a renewal that fails leaves it passed; the next sign of life tries again', async (t) => {
  const bench = await Bench.held();
  bench.connected = false;
  await bench.standStill(leaseMs * 2);
  bench.connected = true;
  bench.lease.reconnected();
  await bench.answer('sign', [1]);
  await bench.calls.shift()!.fail();
  t.same(bench.told, []);
  t.ok(bench.untilMs <= bench.clock.monotonic());
  await bench.clock.advanceAsync(leaseMs / 3);
  await bench.answer('sign', [1]);
  await bench.answer('renew', []);
  t.same(bench.told, ['held']);
  t.ok(bench.untilMs > bench.clock.monotonic());
});

t.test('declared dead: at once nothing is certain, also for a renewal under way', async (t) => {
  const bench = await Bench.held();
  void bench.lease.renew();
  const [renewal] = bench.calls.splice(0);
  await bench.clock.advanceAsync(leaseMs / 3);
  await bench.answer('sign', [0]);
  t.equal(bench.untilMs, Number.NEGATIVE_INFINITY);
  await renewal!.reply([]);
  t.equal(bench.untilMs, Number.NEGATIVE_INFINITY);
  await bench.answer('sign', [1]);
  await bench.answer('renew', [1, 2]);
  t.same(bench.told, ['gone a,b', 'held']);
  t.ok(bench.untilMs > bench.clock.monotonic());
});

t.test('a reservation that is refused says the same', async (t) => {
  const bench = await Bench.held();
  bench.lease.revive();
  t.equal(bench.untilMs, Number.NEGATIVE_INFINITY);
  t.equal(bench.calls[0]?.args[2], '1', 'it comes back to life');
  await bench.answer('sign', [1]);
  await bench.answer('renew', []);
  t.same(bench.told, ['held']);
});

t.test('late by the clock of the server: what is held is renewed at once, and nobody is judged for a lease', async (t) => {
  const bench = await Bench.held();
  const sign = async (standing: number): Promise<unknown> => {
    bench.clock.advance(leaseMs / 3 + 1);
    const judges = bench.calls[0]?.args[3];
    await bench.answer('sign', [standing]);
    return judges;
  };
  t.same([await sign(1), await sign(1), await sign(1)], ['0', '0', '1'], 'it has been there for a lease');
  t.equal(await sign(2), '1', 'it is the server that does not let it judge then');
  t.same(
    bench.calls.map(({ name, args }) => [name, ...args]),
    [['renew', 'a', 'b']],
  );
  await bench.answer('renew', []);
  t.same(bench.told, ['late']);
  t.same([await sign(1), await sign(1)], ['0', '0']);
  await sign(1);
  t.equal(await sign(1), '1', 'as before, after a lease');
  t.same(bench.calls, []);
});

t.test('kombu’s visibility timeout counts as well, from when the last complete renewal began', async (t) => {
  const visibilityTimeoutMs = 400;
  const bench = await Bench.held(visibilityTimeoutMs);
  t.equal(bench.untilMs, visibilityTimeoutMs - 40);
  await bench.clock.advanceAsync(visibilityTimeoutMs / 4);
  const [renewal] = bench.calls.splice(0);
  await bench.clock.advanceAsync(60);
  await renewal!.reply([]);
  t.equal(bench.untilMs, visibilityTimeoutMs / 4 + visibilityTimeoutMs - 40);
  // Signs of life are heard, renewals are refused.
  for (let times = 0; times < 8; times++) {
    await bench.clock.advanceAsync(60);
    for (const call of bench.calls.splice(0)) await (call.name === 'sign' ? call.reply([1]) : call.fail());
  }
  t.ok(bench.untilMs <= bench.clock.monotonic(), 'it has passed');
  t.same(bench.told, []);
  await bench.clock.advanceAsync(visibilityTimeoutMs / 4);
  for (const call of bench.calls.splice(0)) await call.reply(call.name === 'sign' ? [1] : []);
  t.same(bench.told, ['held']);
});
