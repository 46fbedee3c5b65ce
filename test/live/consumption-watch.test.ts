/**
 * A worker that is alive and gets nothing, on a real Redis behind a proxy: each step heals what it can heal, and what cannot be healed ends
 * with status 75 and the queue as it was. And everything that looks alike and must not alarm anybody.
 *
 * The standstill: the server says to every reservation that this worker's lease has ended, which the proxy makes it say. Everything
 * else, the count of ready messages too, is answered as it is.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { reserveScript } from '../../src/broker/redis/reserve-script.ts';
import { App, taskHandle } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { RedisProxy, type Rewrite } from '../redis-proxy.ts';
import { RedisServer, withoutRights } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';
import type { LiveWorker } from './live-worker.ts';

const intervalSeconds = 0.5;

const isReservation = (words: readonly string[]): boolean => words[1] === reserveScript.sha;
const refuseReservation = ['EVAL', 'return -1', '0'];
const neverReserve: Rewrite = (words) => (isReservation(words) ? refuseReservation : words);

class Bench {
  readonly server: RedisServer;
  readonly proxy: RedisProxy;
  readonly folder: LiveFolder;
  readonly app: App;
  readonly #module: string;

  private constructor(t: Test, server: RedisServer, proxy: RedisProxy) {
    this.server = server;
    this.proxy = proxy;
    this.folder = new LiveFolder(t);
    this.#module = this.folder.write('tasks.ts', liveTasks);
    this.app = new App({ broker: server.url(), backend: server.url() });
    t.teardown(() => this.app.stop());
  }

  static async start(t: Test): Promise<Bench> {
    t.setTimeout(90_000);
    const server = await RedisServer.start(t);
    const bench = new Bench(t, server, await RedisProxy.start(t, server));
    await bench.app.start();
    return bench;
  }

  async worker(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}, broker = this.proxy.url()): Promise<LiveWorker> {
    const worker = this.folder.worker(['-A', this.#module, '-b', broker, '-c', '2', ...args], {
      env: {
        UMBEL_RESULT_BACKEND: this.server.url(),
        UMBEL_WORKER_CONSUMPTION_CHECK_INTERVAL: String(intervalSeconds),
        ...env,
      },
    });
    return worker.ready();
  }

  /**
   * Straight to the server: where nothing may look like a standstill, none may come of the test's own process, which the proxy is in. That
   * stands still while it starts others, and the intervals are short.
   */
  direct(args: readonly string[], env: Readonly<Record<string, string>>): Promise<LiveWorker> {
    return this.worker(args, env, this.server.url());
  }

  add(x: number, y: number): Promise<{ get(options: { readonly timeoutMs: number }): Promise<number> }> {
    return taskHandle<[number, number], number>('tasks.add').delay(x, y);
  }

  /**
   * From here on the worker's commands are rewritten. A reservation that was under way has been served by then: it would take the
   * next message from the queue whatever becomes of those after it.
   */
  rewrite(rewrite: Rewrite): void {
    this.proxy.rewrite = rewrite;
    this.server.cli('PING');
  }

  /** A task that runs until the file is there, with late acknowledgement. */
  async gate(name: 'lateGate' | 'requeuedGate', file: string): Promise<void> {
    await taskHandle<[string], string>(`tasks.${name}`).delay(this.folder.file(file));
  }
}

const stepsOf = (worker: LiveWorker): unknown[] => worker.all('consumer.stalled').map(({ step }) => step);

t.test('a standstill that a new subscription heals', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.worker();
  const anew = new Set<number>();
  bench.rewrite((words, { number }) => {
    // What is tracked is given up when it is consumed anew.
    if (words[0] === 'CLIENT' && words[1] === 'TRACKING' && words[2] === 'OFF') anew.add(number);
    return isReservation(words) && !anew.has(number) ? refuseReservation : words;
  });
  const result = await bench.add(1, 2);
  t.equal(await result.get({ timeoutMs: 30_000 }), 3);
  // The result may be here before what the worker has said by then.
  await worker.event('consumer.recovered');
  t.strictSame(stepsOf(worker), ['rebuild']);
  t.strictSame(worker.all('broker.lost'), [], 'on the same connection');
  t.match(await worker.stop(), { code: 0 });
});

t.test('a standstill that a new connection heals; what runs is not disturbed', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.worker();
  await bench.gate('lateGate', 'open');
  await worker.event('task.started');
  const { length } = bench.proxy.connections;
  bench.rewrite((words, { number }) => (isReservation(words) && number <= length ? refuseReservation : words));
  const result = await bench.add(1, 2);
  t.equal(await result.get({ timeoutMs: 30_000 }), 3);
  await worker.event('consumer.recovered');
  t.strictSame(stepsOf(worker), ['rebuild', 'reconnect']);
  t.equal(worker.all('broker.lost').length, 1);
  bench.folder.write('open', '');
  await worker.count('task.succeeded', 2);
  t.equal(worker.all('task.received').length, 2, 'nothing came twice');
  t.match(await worker.stop(), { code: 0 });
  t.strictSame([bench.server.cli('HLEN', 'unacked'), bench.server.cli('LLEN', 'celery')], ['0', '0']);
});

t.test('a connection that swallows every answer, without a socket timeout: a new one', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.worker([], { UMBEL_BROKER_TRANSPORT_OPTIONS: JSON.stringify({ socket_timeout: 0 }) });
  for (const connection of bench.proxy.connections) connection.mute = true;
  const result = await bench.add(1, 2);
  t.equal(await result.get({ timeoutMs: 30_000 }), 3);
  await worker.event('task.succeeded');
  t.strictSame(stepsOf(worker), ['reconnect']);
  t.match(worker.all('consumer.stalled')[0]?.message, /the broker has not answered/);
  t.match(await worker.stop(), { code: 0 });
});

t.test('a standstill that nothing heals: 75, what runs is finished, the queue is as it was', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.worker();
  await bench.gate('lateGate', 'open');
  await worker.event('task.started');
  bench.rewrite(neverReserve);
  for (let n = 0; n < 5; n++) await bench.add(n, n);
  const fatal = await worker.event('worker.fatal');
  t.match(fatal, { level: 'critical', code: 'CONSUMPTION_STUCK' });
  t.strictSame(stepsOf(worker), ['rebuild', 'reconnect']);
  await worker.event('worker.stop', ({ mode }) => mode === 'warm');
  t.equal(worker.all('worker.stop-hint').length, 0, 'nobody has pressed Ctrl+C');
  bench.folder.write('open', '');
  t.strictSame(await worker.end(), { code: 75, signal: null });
  t.equal(worker.all('task.succeeded').length, 1);
  t.strictSame([bench.server.cli('HLEN', 'unacked'), bench.server.cli('LLEN', 'celery')], ['0', '5']);
  bench.proxy.rewrite = null;
  const next = await bench.worker();
  await next.count('task.succeeded', 5);
  t.ok(existsSync(bench.folder.file('open')));
  t.match(await next.stop(), { code: 0 });
});

t.test('the end does not wait longer for tasks than it may: they go back', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.worker([], { UMBEL_WORKER_CONSUMPTION_EXIT_TIMEOUT: '0.2' });
  await bench.gate('requeuedGate', 'never');
  await worker.event('task.started');
  bench.rewrite(neverReserve);
  await bench.add(1, 1);
  t.strictSame(await worker.end(), { code: 75, signal: null });
  t.match(worker.all('worker.stop').at(-1), { mode: 'cold', message: /1 tasks still running/ });
  t.strictSame([bench.server.cli('HLEN', 'unacked'), bench.server.cli('LLEN', 'celery')], ['0', '2']);
});

t.test('no alarm: two workers share a queue under load, with every prefetch full of long tasks', async (t) => {
  const bench = await Bench.start(t);
  const env = { UMBEL_WORKER_CONSUMPTION_CHECK_INTERVAL: '0.1', UMBEL_WORKER_PREFETCH_MULTIPLIER: '1' };
  const [one, two] = await Promise.all([bench.direct(['-n', 'one@h'], env), bench.direct(['-n', 'two@h'], env)]);
  const files = ['a', 'b', 'c', 'd'];
  for (const file of files) await bench.gate('lateGate', file);
  await eventually(t, 'all four children are busy', () => one.all('task.started').length + two.all('task.started').length === 4);
  // Ready all the time, and nobody free; then one, then two, and so on, while the others hold their long tasks.
  const sums = await Promise.all(Array.from({ length: 300 }, (_, n) => bench.add(n, 1)));
  const looked = await commands(bench, 'llen');
  for (const file of files) {
    const before = performance.now();
    await eventually(t, 'several intervals', () => performance.now() - before > 500);
    bench.folder.write(file, '');
  }
  for (const [n, sum] of sums.entries()) if ((await sum.get({ timeoutMs: 30_000 })) !== n + 1) t.fail(`the sum of ${n} and 1`);
  // And nobody busy, with a message for one of them now and then.
  for (let n = 0; n < 40; n++) t.equal(await (await bench.add(n, n)).get({ timeoutMs: 30_000 }), 2 * n);
  for (const worker of [one, two]) {
    t.strictSame(stepsOf(worker), []);
    t.strictSame(worker.all('consumer.look-failed'), []);
  }
  t.comment(`LLEN: ${looked} before, ${await commands(bench, 'llen')} after`);
  t.match(await one.stop(), { code: 0 });
  t.match(await two.stop(), { code: 0 });
});

t.test('no alarm: quiet, and stood still, with messages ready', async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.direct([], { UMBEL_WORKER_CONSUMPTION_CHECK_INTERVAL: '0.1' });
  worker.kill('SIGTSTP');
  await worker.event('worker.quiet');
  const result = await bench.add(1, 2);
  let since = performance.now();
  await eventually(t, 'ten intervals of quiet', () => performance.now() - since > 1000);
  worker.kill('SIGSTOP');
  since = performance.now();
  await eventually(t, 'ten intervals of standing still', () => performance.now() - since > 1000);
  worker.kill('SIGCONT');
  t.equal(await result.get({ timeoutMs: 30_000 }), 3);
  worker.kill('SIGSTOP');
  const second = await bench.add(2, 2);
  since = performance.now();
  await eventually(t, 'ten intervals of standing still, not quiet', () => performance.now() - since > 1000);
  worker.kill('SIGCONT');
  t.equal(await second.get({ timeoutMs: 30_000 }), 4);
  t.strictSame(stepsOf(worker), []);
  t.match(await worker.stop(), { code: 0 });
});

t.test('no alarm: Redis refuses for want of a right; then of memory, for longer than the lease', { skip: withoutRights() }, async (t) => {
  const bench = await Bench.start(t);
  const worker = await bench.direct([], { UMBEL_WORKER_CONSUMPTION_CHECK_INTERVAL: '1', UMBEL_REDIS_LEASE_SECONDS: '1.5' });
  bench.server.cli('ACL', 'SETUSER', 'default', '-rpop');
  const first = await bench.add(1, 2);
  await worker.event('broker.reserve');
  const refusedAtMs = performance.now();
  await eventually(t, 'five intervals of refusals', () => performance.now() - refusedAtMs > 5000);
  t.equal(bench.server.cli('LLEN', 'celery'), '1', 'ready all the time');
  t.strictSame([worker.all('broker.reserve').length, worker.all('broker.reserving').length], [1, 0], 'said once');
  bench.server.cli('ACL', 'SETUSER', 'default', '+rpop');
  t.equal(await first.get({ timeoutMs: 30_000 }), 3);
  await worker.event('broker.reserving');

  worker.kill('SIGTSTP');
  await worker.event('worker.quiet');
  const second = await bench.add(2, 2);
  bench.server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const leaseEnd = (): number => Number(bench.server.cli('ZRANGE', '_umbel.workers', '0', '0', 'WITHSCORES').split('\n')[1]);
  const serverTime = (): number => Number(bench.server.cli('TIME').split('\n')[0]);
  await eventually(t, 'the lease has ended', () => serverTime() > leaseEnd() + 1);
  worker.kill('SIGCONT');
  await worker.event('worker.resumed');
  const resumedAt = serverTime();
  await eventually(t, 'five intervals', () => serverTime() > resumedAt + 5);
  t.equal(bench.server.cli('LLEN', 'celery'), '1', 'ready all the time');
  bench.server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.equal(await second.get({ timeoutMs: 30_000 }), 4);
  t.strictSame(stepsOf(worker), []);
  t.strictSame(worker.all('consumer.look-failed'), []);
  t.match(await worker.stop(), { code: 0 });
});

async function commands({ server }: Bench, name: string): Promise<number> {
  return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(server.cli('INFO', 'commandstats'))?.[1] ?? 0);
}
