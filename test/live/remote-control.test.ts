/**
 * A worker whose only child is blocked is looked at and told what to do: by Python's `app.control` over Redis and RabbitMQ, and by `umbel
 * inspect` and `umbel control` over every broker; and those two look at a Python worker.
 */
import t from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { freePort } from '../test-server.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { type Ended, LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { existsSync } from 'node:fs';
import { task } from 'umbel';
const still = new Int32Array(new SharedArrayBuffer(4));
/** Blocks its child, pipe and all. */
export const blocked = task({ name: 'proj.blocked', acksLate: true }, (file) => {
  while (!existsSync(file)) Atomics.wait(still, 0, 0, 5);
});
export const limited = task({ name: 'proj.limited', rateLimit: '10/m' }, (x) => x);
`;

const node = 'busy@here';
const info = {
  id: 'runs',
  name: 'proj.blocked',
  args: ['go'],
  kwargs: {},
  type: 'proj.blocked',
  hostname: node,
  acknowledged: false,
  delivery_info: { routing_key: 'celery', redelivered: false },
};

/** Says each reply in turn, and does not wait for whoever reads them: by then the worker may have gone on. */
const python = `
import time
look = app.control.inspect(destination=['${node}'], timeout=30)
def one(reply): say((reply or {}).get('${node}'))
one(look.ping())
one(look.active())
one(look.reserved())
one(look.scheduled())
one(look.registered())
one(look.stats())
one(look.active_queues())
one(look.query_task('waits', 'unknown'))
one(look.conf())
one(look.clock())
def told(replies): say(replies[0]['${node}'])
kw = dict(destination=['${node}'], reply=True, timeout=30)
told(app.control.rate_limit('proj.limited', '5/s', **kw))
told(app.control.time_limit('proj.limited', hard=20, soft=10, **kw))
told(app.control.add_consumer('more', **kw))
told(app.control.cancel_consumer('more', **kw))
told(app.control.revoke(['waits', 'later'], **kw))
one(look.revoked())
one(look.scheduled())
# Not before it: the other child would take what waits.
told(app.control.pool_grow(1, **kw))
told(app.control.broadcast('no_such', **kw))
one(look.hello('other@here', {'r-1': [time.monotonic(), 'r-1']}))
`;

for (const kind of brokerKinds) {
  const skip = kind === 'sqlite' ? false : celeryMissing();
  void t.test(`a worker with a blocked child: ${kind}`, { skip }, async (t) => {
    const folder = new LiveFolder(t);
    const { url: broker } = await openBroker(t, kind, folder);
    const backend = folder.sqliteUrl('results.db');
    folder.write('tasks.mjs', tasks);
    await startedApp(t, { broker, backend });
    const port = await freePort();
    const worker = await folder
      .worker(['-A', folder.file('tasks.mjs'), '-b', broker, '-c', '1', '-n', node], {
        env: { UMBEL_RESULT_BACKEND: backend, UMBEL_WORKER_HEALTH_LISTEN: `:${port}`, UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock' },
        cwd: folder.path,
      })
      .ready();
    const blocked = taskHandle<[string], void>('proj.blocked');
    await blocked.applyAsync({ args: ['go'], taskId: 'runs' });
    await worker.event('task.received', ({ taskId }) => taskId === 'runs');
    const waits = await blocked.applyAsync({ args: ['go'], taskId: 'waits' });
    await worker.event('task.received', ({ taskId }) => taskId === 'waits');
    await blocked.applyAsync({ args: ['go'], taskId: 'later', countdown: 300 });
    // A file keeps it itself.
    if (kind !== 'sqlite') await worker.event('task.deferred', ({ taskId }) => taskId === 'later');
    await worker.event('task.started', ({ taskId }) => taskId === 'runs');

    await t.test('umbel looks at it', async (t) => {
      const umbel = async (...args: string[]): Promise<unknown> => {
        const { stdout, stderr, status } = await folder.umbel(['-b', broker, ...args, '-d', node, '-t', '30', '--json']);
        t.equal(status, 0, stderr);
        return JSON.parse(stdout.split('\n')[0] ?? '');
      };
      t.match(await umbel('status'), { [node]: { ok: 'pong' } });
      t.match(await umbel('inspect', 'active'), { [node]: [info] });
      t.match(await umbel('inspect', 'active_queues'), { [node]: [{ name: 'celery' }] });
      t.match(await umbel('control', 'rate_limit', 'nothing', '1/s'), [{ [node]: { error: 'unknown task' } }]);
      t.match(await umbel('control', 'rate_limit', 'proj.limited', '7/m'), [{ [node]: { ok: 'new rate limit set successfully' } }]);
      const said = worker.events.filter(({ message }) => message === 'New rate limit for tasks of type proj.limited: 7/m.');
      t.same(
        said.map(({ event }) => event),
        ['rate-limit.changed'],
        'said once',
      );
      const nobody = await folder.umbel(['-b', broker, 'inspect', 'ping', '-d', 'nobody@here', '-t', '0.2']);
      t.equal(nobody.status, 69);
      t.match(nobody.stderr, /No nodes replied within time constraint \[NO_NODES_REPLIED\]/);
      const shown = await folder.umbel(['-b', broker, 'inspect', 'scheduled', '-d', node, '-t', '30']);
      t.match(
        shown.stdout,
        /^-> {2}busy@here: OK\n {4}\* \{'eta': '.*'id': 'later', 'name': 'proj\.blocked', 'args': \['go'\].*\n\n1 node online\.\n$/,
      );
    });

    await t.test('its socket and its probes answer, too', async (t) => {
      const ctl = (...args: string[]): Promise<Ended> => folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), '-t', '30', ...args]);
      t.match((await ctl('why')).stdout, /^Its one place is taken: proj\.blocked\[runs\] for \d+ s in process \d+\.\n$/);
      t.match(JSON.parse((await ctl('active', '--json')).stdout), { [node]: [info] });
      t.equal((await ctl('actve')).status, 64);
      t.match((await ctl('no_such')).stderr, /a command must be one of why, dump, debug, .*got "no_such"/);
      t.match((await ctl('time_limit', 'proj.limited', '5', '3')).stdout, /time limits set successfully, but the soft one has no effect/);
      await worker.event('task.soft-limit-too-late', ({ message }) => message.endsWith('got 5 s and 3 s for proj.limited'));
      const probe = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`);
      t.same(await Promise.all(['/livez', '/startupz', '/readyz'].map(async (path) => (await probe(path)).status)), [200, 200, 200]);
      const metrics = await (await probe('/metrics')).text();
      t.match(metrics, /^umbel_tasks_started_total\{task="proj\.blocked"\} 1$/m);
      t.match(metrics, /^umbel_tasks_active 1$/m);
      t.match(metrics, /^umbel_task_wait_seconds_count\{queue="celery"\} 1$/m);
      t.match(metrics, /^umbel_last_delivery_age_seconds \d/m);
      t.match(metrics, /^umbel_broker_round_trip_seconds \d/m);
    });

    if (kind !== 'sqlite')
      await t.test('Python looks at it and tells it what to do', async (t) => {
        // Before the script, which lets the pool grow.
        const children = worker.children();
        const script = new PythonCelery(t, `from celery import Celery\napp = Celery('proj', broker='${broker}')\n`).script(python);
        t.same(await script.next(), { ok: 'pong' });
        const active = (await script.next()) as { time_start: number; worker_pid: number }[];
        t.match(active, [info]);
        t.same([active[0]!.worker_pid], children, 'the process that runs it');
        t.ok(Math.abs(active[0]!.time_start - Date.now() / 1000) < 300);
        t.match(await script.next(), [{ ...info, id: 'waits', time_start: null, worker_pid: null }]);
        t.match(await script.next(), [{ eta: /^\d{4}-/, priority: 6, request: { ...info, id: 'later' } }]);
        t.same(await script.next(), ['proj.blocked', 'proj.limited [rate_limit=7/m]']);
        t.match(await script.next(), {
          total: { 'proj.blocked': 1 },
          pid: worker.pid,
          clock: /^\d+$/,
          uptime: Number,
          pool: {
            'max-concurrency': 1,
            processes: children,
            'max-tasks-per-child': 'N/A',
            timeouts: [0, 0],
            writes: { total: Number },
          },
          broker: { transport: kind === 'redis' ? 'redis' : /amqp/, hostname: /127\.0\.0\.1|localhost/, port: Number },
          prefetch_count: Number,
          rusage: { utime: Number, maxrss: Number, nvcsw: Number },
        });
        t.match(await script.next(), [
          { name: 'celery', exchange: { name: 'celery', type: 'direct' }, routing_key: 'celery', durable: true },
        ]);
        t.match(await script.next(), { waits: ['reserved', { ...info, id: 'waits' }] });
        t.match(await script.next(), { worker_concurrency: 1, worker_hostname: node });
        t.match(await script.next(), { clock: Number });
        t.same(await script.next(), { ok: 'new rate limit set successfully' });
        t.same(await script.next(), { ok: 'time limits set successfully' });
        t.same(await script.next(), { ok: 'add consumer more' });
        t.same(await script.next(), { ok: 'no longer consuming from more' });
        t.same(await script.next(), { ok: 'tasks waits, later flagged as revoked' });
        t.same(await script.next(), ['waits', 'later']);
        await script.next();
        t.same(await script.next(), { ok: 'pool will grow' });
        t.same(await script.next(), { error: "KeyError('no_such')" });
        t.match(await script.next(), { revoked: { waits: [Number, 'waits'] }, clock: Number });
        // The reply does not wait for the result to be stored.
        await t.rejects(waits.get({ timeoutMs: 30_000 }), { name: 'TaskRevokedError', state: 'REVOKED' }, 'it was waiting here');
      });

    if (kind !== 'sqlite')
      await t.test('umbel looks at a Python worker beside it', async (t) => {
        const fellow = new PythonCelery(
          t,
          `from celery import Celery\napp = Celery('proj', broker='${broker}')\n@app.task(name='py.task')\ndef py(): pass\n`,
        );
        await fellow.worker(['python-only'], ['-n', 'snake@here']);
        const both = await folder.umbel(['-b', broker, 'inspect', 'registered', '-d', `snake@here,${node}`, '-t', '30', '-j']);
        t.match(JSON.parse(both.stdout), { 'snake@here': ['py.task'], [node]: ['proj.blocked', /^proj\.limited/] });
      });

    const shutdown = folder.umbel(['-b', broker, 'control', 'shutdown', '-d', node, '-t', '0.2']);
    folder.write('go', '');
    t.equal((await worker.end()).code, 0, 'told to stop');
    t.equal((await shutdown).status, 69, 'which has no reply');
  });
}

t.test('a worker that still waits for its broker is asked and told over its socket, and its probes say so', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', tasks);
  const [port, nobody] = [await freePort(), await freePort()];
  const worker = folder.worker(['-A', folder.file('tasks.mjs'), '-b', `redis://127.0.0.1:${nobody}/0`, '-c', '1', '-n', node], {
    env: { UMBEL_WORKER_HEALTH_LISTEN: `:${port}`, UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock', UMBEL_RESULT_BACKEND: 'disabled' },
    cwd: folder.path,
  });
  await worker.event('redis.unreachable');
  const ctl = (...args: string[]): Promise<Ended> => folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), '-t', '30', ...args]);
  t.match((await ctl('why')).stdout, /^The broker \(redis:\S+\) is away since \d{4}-\S+Z\.\n$/);
  t.same(JSON.parse((await ctl('active', 'true', '-j')).stdout), { [node]: [] });
  t.match((await ctl('rate_limit', 'proj.limited', '5/s')).stdout, /new rate limit set/);
  for (const words of [
    ['add_consumer', 'more'],
    ['cancel_consumer', 'celery'],
  ])
    t.match(await ctl(...words), { status: 0, stdout: /ERROR\n\s+RuntimeError\('the worker is starting or stopping'\)/ });
  const probe = async (path: string): Promise<unknown> => {
    const { status, text } = await fetch(`http://127.0.0.1:${port}${path}`).then(async (got) => ({
      status: got.status,
      text: await got.text(),
    }));
    return [status, text];
  };
  t.same(await probe('/livez'), [200, 'ok\n']);
  t.same(await probe('/startupz'), [503, 'starting\n']);
  t.same(await probe('/readyz'), [503, 'starting: waiting for the broker\n']);
  t.match(await probe('/metrics'), [200, /^umbel_up 0$/m]);
  t.match(await ctl('shutdown'), { status: 0, stdout: /None/ }, 'the answer comes before the end');
  t.equal((await worker.end()).code, 0);
});
