/**
 * Chords whose counters are deleted while their parts run: the body runs once with all results, or fails and says what is missing.
 *
 * On the embedded broker, on Redis with results in the same database and in another one, and on RabbitMQ with results in Redis.
 */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { GroupResult } from '../../src/task/async-result.ts';
import { taskHandle } from '../../src/task/task.ts';
import { chord } from '../../src/task/workflow.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(180_000);

const timeoutMs = 30_000;

const tasks = `
import { appendFileSync, existsSync } from 'node:fs';
import { task } from 'umbel';
const late = { acksLate: true, rejectOnWorkerLost: true };
/** Ends when its gate is there. */
export const part = task({ name: 'part', ...late }, async (gate, value) => {
  while (!existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 5));
  return value;
});
export const body = task({ name: 'body', bind: true, ...late }, (context, values, chord) => {
  appendFileSync(process.env.BODIES, chord + '\\n');
  return values;
});
export const told = task({ name: 'told' }, (taskId, chord) => appendFileSync(process.env.BODIES, 'told ' + chord + '\\n'));
`;
const part = taskHandle<[string, number], number>('part');
const body = taskHandle<[number[], string], number[]>('body');
const told = taskHandle<[string, string], void>('told');

interface Place {
  readonly broker: string;
  readonly backend: string;
  readonly env?: Readonly<Record<string, string>>;
}

class Scene {
  readonly #folder: LiveFolder;

  private constructor(folder: LiveFolder) {
    this.#folder = folder;
  }

  static async open(t: Test, { broker, backend, env = {} }: Place): Promise<Scene> {
    const folder = new LiveFolder(t);
    const module = folder.write('chords.mjs', tasks);
    const all = { UMBEL_RESULT_BACKEND: backend, UMBEL_RESULT_CHORD_SIZE_TIMEOUT: '0.2', BODIES: folder.file('bodies.log'), ...env };
    await folder.worker(['-A', module, '-b', broker, '-c', '3'], { env: all }).ready();
    await startedApp(t, { broker, backend });
    return new Scene(folder);
  }

  /** A chord of three parts, of which one has been counted when `lose` is called; what it comes to. */
  async lose(name: string, lose: (groupId: string, taskIds: readonly string[]) => void): Promise<unknown> {
    const gates = [0, 1, 2].map((index) => `gate-${name}-${index}`);
    const parts = gates.map((gate, index) => part.s(this.#folder.file(gate), index + 10));
    const whole = chord(parts, body.signature({ args: [name] as never })).linkError(told.signature({ args: [name] as never }));
    const result = await whole.delay();
    const header = result.parent as GroupResult<number>;
    const members = header.results;
    this.#folder.write(String(gates[0]), '');
    await members[0]?.get({ timeoutMs });
    lose(
      header.id,
      members.map(({ id }) => id),
    );
    for (const gate of gates.slice(1)) this.#folder.write(gate, '');
    const ended: unknown = await result.get({ timeoutMs }).catch((error: unknown) => error);
    if (ended instanceof Error) await eventually(t, 'the error callback is called', () => this.said(`told ${name}`) > 0);
    return ended;
  }

  /** How often. */
  said(line: string): number {
    if (!existsSync(this.#folder.file('bodies.log'))) return 0;
    return this.#folder
      .read('bodies.log')
      .split('\n')
      .filter((one) => one === line).length;
  }
}

const key = (groupId: string, suffix: string): string => `celery-taskset-meta-${groupId}${suffix}`;
const sizeLost = /^the size of chord .* was lost or never stored: \d parts have ended, and of how many is not known$/;

async function onRedis(t: Test, place: Place, server: RedisServer, db: number, flushes: boolean): Promise<void> {
  const scene = await Scene.open(t, place);
  const cli = (...args: readonly string[]): string => server.cli('-n', String(db), ...args);
  const values = async (name: string, suffixes: readonly string[]): Promise<void> => {
    const found = await scene.lose(name, (groupId) => {
      t.equal(cli('DEL', ...suffixes.map((suffix) => key(groupId, suffix))), String(suffixes.length), `${name}: they were there`);
    });
    t.strictSame(Array.isArray(found) ? found.toSorted() : found, [10, 11, 12], name);
    t.equal(scene.said(name), 1, `${name}: the body ran once`);
  };
  await values('parts', ['.j']);
  await values('size', ['.s']);
  await values('both', ['.j', '.s']);
  const named = await scene.lose('results', (groupId, [first]) => cli('DEL', key(groupId, '.j'), `celery-task-meta-${first}`));
  t.match(named, { message: /^the counters of chord .* were lost, and the results of 1 of its parts \([\w-]{36}\)$/ });
  t.equal(scene.said('told results'), 1);
  if (flushes) {
    t.match(await scene.lose('flushed', () => cli('FLUSHDB')), { message: sizeLost });
    t.equal(scene.said('told flushed'), 1);
  }
  t.equal(scene.said('results') + scene.said('flushed'), 0, 'a body that has failed does not run');
}

t.test('embedded', async (t) => {
  const folder = new LiveFolder(t);
  const file = folder.file('broker.db');
  const url = folder.sqliteUrl('broker.db');
  const scene = await Scene.open(t, { broker: url, backend: url });
  const from = (table: string) => (groupId: string) => {
    const database = new DatabaseSync(file, { timeout: 5000 });
    t.equal(database.prepare(`DELETE FROM ${table} WHERE group_id = ?`).run(groupId).changes, 1);
    database.close();
  };
  t.match(await scene.lose('size', from('umbel_chord')), { message: sizeLost });
  t.match(await scene.lose('parts', from('umbel_chord_part')), { message: /lost, and the results of 1 of its parts$/ });
  for (const name of ['size', 'parts']) t.strictSame([scene.said(name), scene.said(`told ${name}`)], [0, 1], name);
});

t.test('redis: results in the same database, and in another one as lists', async (t) => {
  const server = await RedisServer.start(t);
  await onRedis(t, { broker: server.url(), backend: server.url() }, server, 0, false);
  const env = { UMBEL_RESULT_BACKEND_TRANSPORT_OPTIONS: '{"result_chord_ordered": false}' };
  await onRedis(t, { broker: server.url(2), backend: server.url(3), env }, server, 3, true);
});

t.test('rabbitmq, with results in redis', async (t) => {
  const [rabbit, redis] = await Promise.all([RabbitmqVhost.open(t), RedisServer.start(t)]);
  await onRedis(t, { broker: rabbit.url(), backend: redis.url() }, redis, 0, true);
});
