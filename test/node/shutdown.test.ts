/** The three ways to stop, and going from one to the next. The pool is the test's own; nothing here takes time. */
import t from 'tap';
import type { Consumer } from '../../src/consumer/consumer.ts';
import type { Settler } from '../../src/consumer/settle.ts';
import { Shutdown } from '../../src/node/shutdown.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { FakePool, settled } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';

/** A pool whose tasks end when the test says so. */
class BusyPool extends FakePool {
  readonly calls: string[];
  running: number;
  #drains: { readonly timeoutMs: number | null; resolve(drained: boolean): void }[] = [];

  constructor(running: number, calls: string[]) {
    super(1, []);
    this.running = running;
    this.calls = calls;
  }

  override get jobCount(): number {
    return this.running;
  }

  override drain(timeoutMs?: number | null): Promise<boolean> {
    this.calls.push(`drain ${timeoutMs}`);
    if (this.running === 0) return Promise.resolve(true);
    return new Promise((resolve) => this.#drains.push({ timeoutMs: timeoutMs ?? null, resolve }));
  }

  override abortAll(reason?: string): void {
    this.calls.push(`abort: ${reason}`);
  }

  override async stop(): Promise<void> {
    this.calls.push('pool.stop');
    this.running = 0;
  }

  /** All running tasks end. */
  finish(): void {
    this.running = 0;
    for (const { resolve } of this.#drains.splice(0)) resolve(true);
  }

  /** The time of the wait is over. */
  timeout(): void {
    this.#drains.pop()?.resolve(false);
  }
}

interface Bench {
  readonly calls: string[];
  readonly pool: BusyPool;
  readonly log: RecordingLog;
  readonly shutdown: Shutdown;
  readonly clock: FakeClock;
}

function open(
  running: number,
  options: {
    warmTimeoutMs?: number | null;
    softTimeoutMs?: number;
    softOnIdle?: boolean;
    quiet?: () => Promise<void>;
    recorded?: Promise<void>;
  } = {},
): Bench {
  const calls: string[] = [];
  const pool = new BusyPool(running, calls);
  const log = new RecordingLog();
  const consumer = {
    quiet: async () => {
      calls.push('quiet');
      await options.quiet?.();
    },
  } as unknown as Consumer;
  const settler = {
    stopping: () => calls.push('stopping'),
    idle: async () => {
      calls.push('idle');
      await options.recorded;
    },
    giveUp: () => calls.push('give up'),
  } as unknown as Settler;
  const { warmTimeoutMs = null, softTimeoutMs = 0, softOnIdle = false } = options;
  const clock = new FakeClock();
  const broker = { reconnect: (reason: string) => calls.push(`reconnect: ${reason}`) };
  const shutdown = new Shutdown({ broker, consumer, pool, settler, log, warmTimeoutMs, softTimeoutMs, softOnIdle, clock });
  return { calls, pool, log, clock, shutdown };
}

t.test('warm: no new messages, running tasks end, everything is settled', async (t) => {
  const { calls, pool, log, shutdown } = open(2);
  const stopped = shutdown.run('warm');
  await settled();
  t.same(calls, ['quiet', 'drain null']);
  pool.finish();
  await stopped;
  t.same(calls, ['quiet', 'drain null', 'idle'], 'no child is killed');
  t.match(log.lines, [{ level: 'warning', event: 'worker.stop', message: 'worker: Warm shutdown (MainProcess)' }]);
});

t.test('warm with nothing running', async (t) => {
  const { calls, shutdown } = open(0);
  await shutdown.run('warm');
  t.same(calls, ['quiet', 'drain null', 'idle']);
});

t.test('warm out of time: becomes cold, and says what was running', async (t) => {
  const { calls, pool, log, shutdown } = open(2, { warmTimeoutMs: 5000 });
  const stopped = shutdown.run('warm');
  await settled();
  pool.timeout();
  await stopped;
  t.same(calls, ['quiet', 'drain 5000', 'stopping', 'pool.stop', 'idle']);
  t.match(log.lines.at(-1), { message: 'worker: Cold shutdown (MainProcess): 2 tasks still running' });
});

t.test('warm, then asked to hurry: becomes cold', async (t) => {
  const { calls, shutdown } = open(1);
  const stopped = shutdown.run('warm');
  await settled();
  shutdown.hurry();
  await stopped;
  t.same(calls, ['quiet', 'drain null', 'stopping', 'pool.stop', 'idle']);
});

t.test('asked to hurry before the wait has begun: not forgotten', async (t) => {
  const slow = Promise.withResolvers<void>();
  const { calls, shutdown } = open(1, { quiet: () => slow.promise });
  const stopped = shutdown.run('warm');
  shutdown.hurry();
  slow.resolve();
  await stopped;
  t.same(calls, ['quiet', 'stopping', 'pool.stop', 'idle']);
});

t.test('cold: nothing is waited for', async (t) => {
  const { calls, log, shutdown } = open(1);
  await shutdown.run('cold');
  t.same(calls, ['quiet', 'stopping', 'pool.stop', 'idle']);
  t.match(log.lines[0], { message: 'worker: Cold shutdown (MainProcess)' });
});

t.test('soft: signals aborted, a last while, then cold', async (t) => {
  const { calls, pool, log, shutdown } = open(1, { softTimeoutMs: 3000 });
  const stopped = shutdown.run('cold');
  await settled();
  t.same(calls, ['quiet', 'abort: the worker is stopping', 'drain 3000']);
  pool.timeout();
  await stopped;
  t.same(calls.slice(3), ['stopping', 'pool.stop', 'idle']);
  t.match(log.lines[1], { message: 'Initiating Soft Shutdown, terminating in 3 seconds' });
});

t.test('soft: those who end in time are not killed', async (t) => {
  const { calls, pool, shutdown } = open(1, { softTimeoutMs: 3000 });
  const stopped = shutdown.run('cold');
  await settled();
  pool.finish();
  await stopped;
  t.same(calls.slice(3), ['idle']);
});

t.test('soft with nothing running: no while', async (t) => {
  const { calls, shutdown } = open(0, { softTimeoutMs: 3000 });
  await shutdown.run('cold');
  t.same(calls, ['quiet', 'stopping', 'pool.stop', 'idle']);
});

t.test('soft with nothing running, asked for: the whole while passes', async (t) => {
  const { calls, clock, log, shutdown } = open(0, { softTimeoutMs: 3000, softOnIdle: true });
  const stopped = shutdown.run('cold');
  await settled();
  t.match(log.lines[1], { message: 'Initiating Soft Shutdown, terminating in 3 seconds' });
  clock.advance(2999);
  await settled();
  t.notOk(calls.includes('idle'));
  clock.advance(1);
  await stopped;
  t.same(calls, ['quiet', 'abort: the worker is stopping', 'idle']);
});

t.test('soft with nothing running, and asked to hurry', async (t) => {
  const { calls, clock, shutdown } = open(0, { softTimeoutMs: 3000, softOnIdle: true });
  const stopped = shutdown.run('cold');
  await settled();
  t.equal(shutdown.endSoftWindow(), true);
  await stopped;
  t.same(calls, ['quiet', 'abort: the worker is stopping', 'stopping', 'pool.stop', 'idle']);
  t.equal(clock.pending, 0);
});

t.test('only the soft while can be ended as such, once', async (t) => {
  const { calls, pool, shutdown } = open(1, { softTimeoutMs: 3000 });
  t.equal(shutdown.endSoftWindow(), false);
  const stopped = shutdown.run('warm');
  await settled();
  t.equal(shutdown.endSoftWindow(), false, 'a warm stop goes on waiting');
  pool.timeout();
  await settled();
  t.equal(calls.at(-1), 'drain 3000');
  t.equal(shutdown.endSoftWindow(), true);
  await stopped;
  t.same(calls.slice(4), ['stopping', 'pool.stop', 'idle']);
  t.equal(shutdown.endSoftWindow(), false);
});

t.test('warm, hurry: soft; hurry again: cold', async (t) => {
  const { calls, shutdown } = open(1, { softTimeoutMs: 3000 });
  const stopped = shutdown.run('warm');
  await settled();
  shutdown.hurry();
  await settled();
  t.same(calls, ['quiet', 'drain null', 'abort: the worker is stopping', 'drain 3000']);
  shutdown.hurry();
  await stopped;
  t.same(calls.slice(4), ['stopping', 'pool.stop', 'idle']);
});

t.test('consuming that cannot be stopped stops nothing else', async (t) => {
  const { calls, log, shutdown } = open(0, { quiet: () => Promise.reject(new Error('no broker')) });
  await shutdown.run('warm');
  t.same(calls, ['quiet', 'drain null', 'idle']);
  t.match(await log.event('worker.stop-failed'), { level: 'error', message: 'consuming could not be stopped: no broker' });
});

t.test('a broker that does not answer: what runs ends and is recorded, and then the connection is given up', async (t) => {
  const given = 'reconnect: the worker stops, and for 10s the broker has not answered that it delivers no more';
  for (const [mode, then] of [
    ['warm', ['drain null', 'idle', given]],
    ['cold', ['stopping', 'pool.stop', 'idle', given]],
  ] as const) {
    const { calls, clock, pool, shutdown } = open(1, { quiet: () => new Promise<void>(() => {}) });
    const stopped = shutdown.run(mode);
    clock.advance(9999);
    await settled();
    t.same(calls, ['quiet']);
    clock.advance(1);
    await settled();
    pool.finish();
    await stopped;
    t.same(calls.slice(1), then);
    t.equal(clock.pending, 0);
  }
});

t.test('a broker that answers late keeps its connection', async (t) => {
  const slow = Promise.withResolvers<void>();
  const { calls, clock, pool, shutdown } = open(1, { quiet: () => slow.promise });
  const stopped = shutdown.run('warm');
  clock.advance(10_000);
  await settled();
  slow.resolve();
  await settled();
  pool.finish();
  await stopped;
  t.same(calls, ['quiet', 'drain null', 'idle']);
});

t.test('what cannot be recorded is waited for no longer than ten seconds', async (t) => {
  for (const mode of ['warm', 'cold'] as const) {
    const recorded = Promise.withResolvers<void>();
    const { calls, clock, log, shutdown } = open(0, { recorded: recorded.promise });
    const stopped = shutdown.run(mode);
    await settled();
    clock.advance(9999);
    await settled();
    t.equal(calls.at(-1), 'idle');
    clock.advance(1);
    await stopped;
    t.equal(calls.at(-1), 'give up');
    t.match(log.lines.at(-1), { level: 'error', event: 'worker.stop-failed', message: /within 10s; the worker stops without them/ });
  }
});

t.test('what is recorded in time is not given up', async (t) => {
  const recorded = Promise.withResolvers<void>();
  const { calls, clock, shutdown } = open(0, { recorded: recorded.promise });
  const stopped = shutdown.run('warm');
  await settled();
  clock.advance(9999);
  recorded.resolve();
  await stopped;
  t.equal(calls.at(-1), 'idle');
  t.equal(clock.pending, 0);
});
