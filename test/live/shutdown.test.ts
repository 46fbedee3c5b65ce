/**
 * What each way to stop does to tasks that run (of either ack mode), are reserved or are scheduled: the table of docs/signals.md, on every broker.
 * Each time another worker then does what was left, and nothing else. How the signals follow one another is stopping.test.ts.
 */
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { App } from '../../src/client/umbel.ts';
import type { AsyncResult } from '../../src/task/async-result.ts';
import { type BrokerKind, brokerKinds, openBroker, openProxy } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { allGone, type LiveWorker, processesIn } from './live-worker.ts';

t.setTimeout(300_000);

const tasks = `
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentTask, task } from 'umbel';

async function waitFor(file) {
  while (!existsSync(file)) await sleep(5);
  return currentTask().deliveryInfo.redelivered ? 'again' : 'first';
}
export const early = task({ name: 'early' }, waitFor);
export const late = task({ name: 'late', acksLate: true }, waitFor);
export const reserved = task({ name: 'reserved', acksLate: true }, () => 'done');
export const scheduled = task({ name: 'scheduled' }, () => Date.now());
`;

/** Until then it is certainly not due: a worker has been stopped by then. */
const countdown = 4;

interface Place {
  readonly broker: string;
  readonly config?: string;
  /** What is not due is not delivered at all, if the client says so. */
  readonly keepsScheduled?: boolean;
  /**
   * The broker answers nobody any more, until the returned function is called. A worker that does not wait for its answer before it ends its tasks can
   * store no result either: it would, before the next signal comes.
   */
  hold(results: string): () => void;
}

async function openPlace(t: Test, kind: BrokerKind): Promise<Place> {
  const folder = new LiveFolder(t);
  const place = await openBroker(t, kind, folder);
  const proxied = await openProxy(t, place);
  if (proxied === null) {
    const hold = (results: string) => {
      const locks = [folder.file('broker.db'), results].map((file) => {
        const lock = new DatabaseSync(file, { timeout: 10_000 });
        lock.exec('BEGIN EXCLUSIVE');
        return lock;
      });
      return () => {
        for (const lock of locks) lock.close();
      };
    };
    return { broker: place.url, keepsScheduled: true, hold };
  }
  const { proxy, url } = proxied;
  const hold = () => {
    proxy.freeze();
    return () => proxy.thaw();
  };
  return { broker: url, config: kind === 'redis' ? '[redis]\nlease_seconds = 3\n' : '', hold };
}

interface WorkerOptions {
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
}

class Scene {
  readonly folder: LiveFolder;
  readonly place: Place;
  readonly results = new Map<string, AsyncResult<unknown>>();
  dueMs = 0;
  readonly #app: App;
  readonly #backend: string;

  private constructor(t: Test, folder: LiveFolder, place: Place) {
    this.folder = folder;
    this.place = place;
    this.#backend = folder.sqliteUrl('results.db');
    this.#app = new App({ broker: place.broker, backend: this.#backend });
    folder.write('tasks.mjs', tasks);
    t.teardown(() => this.#app.stop());
  }

  static async open(t: Test, place: Place): Promise<Scene> {
    const scene = new Scene(t, new LiveFolder(t), place);
    await scene.#app.start();
    return scene;
  }

  worker({ config = '', env = {} }: WorkerOptions = {}): LiveWorker {
    this.folder.write('umbel.toml', `${config}${this.place.config ?? ''}`);
    const { broker } = this.place;
    const args = ['-A', this.folder.file('tasks.mjs'), '-b', broker, '--result-backend', this.#backend, '-c', '2'];
    return this.folder.worker(args, { env });
  }

  /** A worker that runs an early and a late task, holds one in reserve and has put one off. */
  async busy(options: WorkerOptions = {}): Promise<LiveWorker> {
    const worker = await this.worker(options).ready();
    for (const name of ['early', 'late']) {
      await this.#send(name, [this.folder.file(`open-${name}`)]);
      await worker.event('task.started', ({ taskId }) => taskId === name);
    }
    await this.#send('reserved', []);
    await worker.event('task.received', ({ taskId }) => taskId === 'reserved');
    this.dueMs = Date.now() + countdown * 1000;
    await this.#send('scheduled', [], { countdown });
    if (this.place.keepsScheduled !== true) await worker.event('task.deferred', ({ taskId }) => taskId === 'scheduled');
    return worker;
  }

  async #send(name: string, args: unknown[], options: { countdown?: number } = {}): Promise<void> {
    this.results.set(name, await this.#app.call({ task: name, args, kwargs: {}, options: { taskId: name, ...options } }));
  }

  open(...names: readonly string[]): void {
    for (const name of names) this.folder.write(`open-${name}`, '');
  }

  /** What became of it, an error or a value. */
  async end(name: string): Promise<unknown> {
    return this.results.get(name)?.get({ timeoutMs: 60_000, propagate: false });
  }

  /** Another worker does what was left, once each, and nothing else. */
  async nextDoes(t: Test, left: Readonly<Record<string, unknown>>): Promise<void> {
    this.open('early', 'late');
    const next = await this.worker().ready();
    for (const [name, value] of Object.entries(left)) t.equal(await this.end(name), value, `${name} is run by the next worker`);
    const startedMs = Number(await this.end('scheduled'));
    t.ok(startedMs >= this.dueMs - 50, `the scheduled one keeps its time, and started ${startedMs - this.dueMs} ms after it was due`);
    t.match(await next.stop(), { code: 0 });
    const started = next.all('task.started').map(({ taskId }) => String(taskId));
    t.same(started.sort(), [...Object.keys(left), 'scheduled'].sort(), 'each once, and nothing else');
  }
}

/** For platforms that can only send TERM it may be made to mean QUIT. */
const colds: readonly (readonly [NodeJS.Signals, Readonly<Record<string, string>>])[] = [
  ['SIGQUIT', {}],
  ['SIGTERM', { REMAP_SIGTERM: 'SIGQUIT' }],
];
const lost = { remoteName: 'WorkerLostError', message: /SIGKILL/ };

for (const kind of brokerKinds) {
  void t.test(kind, async (t) => {
    const place = await openPlace(t, kind);
    await t.test('warm', async (t) => {
      const scene = await Scene.open(t, place);
      const worker = await scene.busy();
      worker.kill('SIGTERM');
      await worker.event('worker.stop', ({ message }) => message === 'worker: Warm shutdown (MainProcess)');
      scene.open('early', 'late');
      t.strictSame(await worker.end(), { code: 0, signal: null });
      t.equal(await scene.end('early'), 'first');
      t.equal(await scene.end('late'), 'first');
      t.strictSame(await allGone(processesIn(scene.folder.path)), []);
      await scene.nextDoes(t, { reserved: 'done' });
    });

    for (const [signal, env] of colds)
      await t.test(`cold, by ${signal}`, async (t) => {
        const scene = await Scene.open(t, place);
        const worker = await scene.busy({ env });
        t.strictSame(await worker.stop(signal), { code: 1, signal: null });
        await worker.event('worker.stop', ({ message }) => message === 'worker: Cold shutdown (MainProcess)');
        t.match(await scene.end('early'), lost);
        t.equal(await scene.results.get('late')?.state(), 'PENDING');
        await scene.nextDoes(t, { late: 'again', reserved: 'done' });
      });

    await t.test('soft: one finishes in its time, the other does not', async (t) => {
      const scene = await Scene.open(t, place);
      const worker = await scene.busy({ config: '[worker]\nsoft_shutdown_timeout = 600\n' });
      worker.kill('SIGQUIT');
      await worker.event('worker.stop', ({ message }) => message === 'Initiating Soft Shutdown, terminating in 600 seconds');
      scene.open('early');
      await worker.event('task.succeeded', ({ taskId }) => taskId === 'early');
      // Asked again, it waits no longer; Ctrl-C does it as well.
      worker.kill(kind === 'redis' ? 'SIGINT' : 'SIGQUIT');
      t.strictSame(await worker.end(), { code: 1, signal: null });
      t.notOk(worker.all('worker.stop').some(({ mode }) => mode === 'hard'));
      t.equal(await scene.end('early'), 'first');
      await scene.nextDoes(t, { late: 'again', reserved: 'done' });
    });

    await t.test('hard', async (t) => {
      const scene = await Scene.open(t, place);
      const worker = await scene.busy();
      const release = scene.place.hold(scene.folder.file('results.db'));
      worker.kill('SIGQUIT');
      await worker.event('worker.stop', ({ mode }) => mode === 'cold');
      worker.kill('SIGQUIT');
      await worker.event('worker.stop', ({ mode }) => mode === 'hard');
      t.strictSame(await worker.end(), { code: 1, signal: null });
      t.strictSame(await allGone(processesIn(scene.folder.path)), []);
      release();
      t.equal(await scene.results.get('early')?.state(), 'PENDING', 'it is lost');
      await scene.nextDoes(t, { late: 'again', reserved: 'done' });
    });
  });
}
