/**
 * Tasks of Python clients are revoked and terminated on every broker: by Python's `app.control` over Redis and RabbitMQ, by `umbel control` over
 * the embedded broker; and what was revoked stays so when the worker is killed.
 */
import t from 'tap';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { type BrokerKind, brokerKinds, type LiveBroker, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import type { LogEvent } from './live-worker.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { task } from 'umbel';
export const held = task({ name: 'held', acksLate: true }, async () => { while (!existsSync('go')) await sleep(5); });
export const spins = task({ name: 'spins', acksLate: true }, () => { for (;;); });
export const seldom = task({ name: 'seldom', rateLimit: '1/h' }, () => {});
export const quick = task({ name: 'quick' }, () => {});
`;

const stamped = `headers={'stamped_headers': ['batch'], 'stamps': {'batch': ['b-1', 'b-2']}}`;

/**
 * A revoked task that waits for its time is discarded when it has come. Until then it must be revoked: on a file by a process that has to start first, on a
 * machine that may take seconds for each part of that.
 */
const dueSeconds = { sqlite: 18, redis: 10, rabbitmq: 10 } as const;

/** Two run, one of them for ever; the others wait, each where it has to. */
const first = (kind: BrokerKind): string => `
app.send_task('held', task_id='runs')
app.send_task('spins', task_id='spins')
app.send_task('seldom', task_id='seldom-1')
app.send_task('seldom', task_id='seldom-2')
app.send_task('held', task_id='reserved')
app.send_task('held', task_id='stamped', ${stamped})
app.send_task('quick', task_id='due', countdown=${dueSeconds[kind]})
`;
const second = `
app.send_task('quick', task_id='queued')
app.send_task('quick', task_id='queued-stamped', ${stamped})
app.send_task('quick', task_id='spins')
app.send_task('quick', task_id='last')
`;

type Control = (command: 'revoke' | 'terminate' | 'stamps', ...ids: readonly string[]) => Promise<unknown>;

const node = 'revoker@here';

function controlOf(kind: BrokerKind, place: LiveBroker, folder: LiveFolder, python: PythonCelery): Control {
  if (kind === 'sqlite')
    return async (command, ...ids) => {
      const words = {
        revoke: ['revoke', ...ids],
        terminate: ['terminate', 'SIGTERM', ...ids],
        stamps: ['revoke_by_stamped_headers', ...ids.map((id) => `batch=${id}`)],
      };
      const { stdout } = await folder.umbel(['-b', place.url, 'control', ...words[command], '-d', node, '-t', '30', '--json']);
      return (JSON.parse(stdout) as Record<string, unknown>[])[0]?.[node];
    };
  // One process for all: what is due in some seconds must be revoked before.
  const asked = python.script(`for line in sys.stdin: say(eval(line)[0]['${node}'])\n`);
  return (command, ...ids) => {
    const kw = `destination=['${node}'], reply=True, timeout=30`;
    const calls = {
      revoke: `app.control.revoke(${JSON.stringify(ids)}, ${kw})`,
      terminate: `app.control.revoke(${JSON.stringify(ids)}, terminate=True, ${kw})`,
      stamps: `app.control.broadcast('revoke_by_stamped_headers', arguments={'headers': {'batch': ${JSON.stringify(ids)}}}, ${kw})`,
    };
    asked.say(calls[command]);
    return asked.next();
  };
}

for (const kind of brokerKinds) {
  void t.test(`wherever they wait, running, and when the worker is killed: ${kind}`, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const place = await openBroker(t, kind, folder);
    const backend = folder.sqliteUrl('results.db');
    folder.write('tasks.mjs', tasks);
    const python = new PythonCelery(t, `from celery import Celery\napp = Celery('client', broker=${JSON.stringify(place.pythonUrl)})\n`);
    const control = controlOf(kind, place, folder, python);
    const app = await startedApp(t, { broker: place.url, backend });
    const isRevoked = (id: string, message: string) =>
      t.rejects(app.result(id).get({ timeoutMs: 30_000 }), { name: 'TaskRevokedError', message, state: 'REVOKED' }, id);
    const args = ['-A', 'tasks.mjs', '-b', place.url, '-c', '2', '-n', node, '-S', '%n.state'];
    const start = () => folder.worker(args, { env: { UMBEL_RESULT_BACKEND: backend } });
    const worker = await start().ready();
    const [of, received] = [(id: string) => (event: LogEvent) => event.taskId === id, 'task.received'];

    await python.script(first(kind)).rest();
    for (const id of ['runs', 'spins']) await worker.event('task.started', of(id));
    for (const id of ['seldom-2', 'reserved', 'stamped']) await worker.event(received, of(id));
    await worker.event('task.deferred', of('due'));
    const children = worker.children();

    t.match(await control('revoke', 'reserved', 'seldom-2', 'due', 'queued', 'runs'), { ok: /flagged as revoked$/ });
    t.match(await control('stamps', 'b-2', 'b-3'), { ok: /flagged as revoked, but not terminated$/ });
    for (const id of ['reserved', 'seldom-2', 'stamped', 'due']) {
      t.match(await worker.event('task.revoked', of(id)), { level: 'info', terminated: false, signum: null, expired: false }, id);
      await isRevoked(id, 'revoked');
    }
    t.match(await control('terminate', 'spins', 'unknown'), { ok: 'terminate: spins' });
    t.match(await worker.event('task.revoked', of('spins')), { terminated: true, signum: 15, expired: false });
    await isRevoked('spins', 'terminated');
    await worker.event('child.killed');
    t.equal(children.filter((pid) => worker.children().includes(pid)).length, 1, 'one child is replaced, the other works');
    t.notOk(worker.all('task.succeeded').some(of('runs')), 'what runs goes on');

    if (kind === 'sqlite') {
      const other = await folder.umbel(['worker', ...args, '-n', 'revoker@there']);
      t.equal(other.status, 73);
      t.match(other.stderr, new RegExp(`revoker\\.state is in use by process ${worker.pid} \\[STATEDB_IN_USE\\]`));
    }

    process.kill(worker.pid, 'SIGKILL');
    await worker.exited;
    folder.write('go', '');
    await python.script(second).rest();
    const next = await start().ready();
    await next.event('task.succeeded', of('last'));
    for (const id of ['queued', 'queued-stamped', 'spins']) t.match(await next.event('task.revoked', of(id)), { terminated: false }, id);
    t.notOk(next.all('task.succeeded').some(({ taskId }) => taskId !== 'last' && taskId !== 'seldom-1' && taskId !== 'runs'));
    await isRevoked('queued', 'revoked');
    t.equal(next.all('statedb.damaged').length, 0);
    t.match(await next.stop(), { code: 0 });
  });
}
