/**
 * Workers and monitors among each other, ours and Python's, over Redis and RabbitMQ: what mingles at the start, who sees whom, who is elected, and what
 * Celery's own State makes of our events. On a file, where a Python worker can tell nobody anything, two of ours.
 */
import t from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { celeryMissing, ended, PythonCelery } from '../python-celery.ts';
import { openBroker, serverKinds } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { task } from 'umbel';
export const add = task({ name: 'proj.add' }, (a, b) => a + b);
export const fail = task({ name: 'proj.fail' }, () => { throw new Error('no'); });
`;

const commands = `
import { controlCommand, inspectCommand } from 'umbel';
let level = 0;
export const current_level = inspectCommand({ help: 'The level now.' }, (worker) => ({ level, node: worker.nodeName }));
export const raise_level = controlCommand(
  { args: [{ name: 'n', default: 1, type: 'integer' }], signature: '[N=1]', help: 'Raise the level.' },
  async (worker, { n }) => ({ ok: 'level is ' + (level += n) }),
);
`;

/**
 * Neighbours have a second to answer one who starts, on a file a quarter of one. Who was asked while the machine had no time for it has told nothing: then
 * one that starts after that asks again. So often at most.
 */
const mostTries = 5;

async function mingled(start: () => LiveWorker): Promise<LiveWorker> {
  for (let tries = 1; ; tries += 1) {
    const worker = await start().ready();
    if (worker.all('mingle.alone').length === 0 || tries === mostTries) return worker;
    await worker.stop();
  }
}

for (const kind of serverKinds) {
  void t.test(`beside Python: ${kind}`, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { url: broker } = await openBroker(t, kind, folder);
    folder.write('tasks.mjs', tasks);
    const modules = { UMBEL_WORKER_CONTROL_MODULES: folder.write('commands.mjs', commands) };
    const python = new PythonCelery(
      t,
      `from celery import Celery\napp = Celery('proj', broker='${broker}')\n@app.task(name='py.task')\ndef py(): pass\n`,
    );
    await startedApp(t, { broker, backend: 'disabled' });
    const start = (node: string) =>
      folder.worker(['-A', folder.file('tasks.mjs'), '-b', broker, '-c', '1', '-E', '-l', 'debug', '-n', node], {
        env: { UMBEL_WORKER_ENABLE_MINGLE: 'true', ...modules },
        cwd: folder.path,
      });

    await python.worker(['python-only'], ['-n', 'snake@here'], true);
    const control = python.script(`
def revoked_at(node):
    # On Redis a worker says that it is ready before it listens: what it does not answer is asked again.
    while True:
        replies = app.control.inspect(timeout=3, destination=[node]).revoked()
        if replies: return replies[node]
while 'before-us' not in revoked_at('snake@here'): app.control.revoke('before-us')
say('revoked')
for line in sys.stdin: say(revoked_at(line.strip()))
`);
    t.equal(await control.next(), 'revoked');
    const worker = await mingled(() => start('worker@here'));
    t.match(worker.all('mingle.synced'), [{ nodes: 1 }]);
    let second = '';
    const asked = await folder.umbel(['-b', broker, 'inspect', 'revoked', '-d', 'worker@here', '-t', '30', '-j']);
    t.same(JSON.parse(asked.stdout), { 'worker@here': ['before-us'] }, 'a revoke made before our start is known after it');
    const add = taskHandle<[number, number], number>('proj.add');
    await add.applyAsync({ args: [1, 1], taskId: 'before-us' });
    await worker.event('task.revoked', ({ taskId }) => taskId === 'before-us');
    t.notOk(
      worker.events.some(({ event }) => event === 'task.started'),
      'it did not run',
    );

    await t.test('a Python worker that starts later knows what we know, and each sees the other', async (t) => {
      await folder.umbel(['-b', broker, 'control', 'revoke', 'ours', '-d', 'worker@here', '-t', '30']);
      for (let tries = 1; ; tries += 1) {
        second = `second${tries}@here`;
        const later = await python.worker(['python-only'], ['-n', second], true);
        await worker.event('gossip.joined', ({ hostname }) => hostname === second);
        control.say(second);
        const known = (await control.next()) as string[];
        if (known.includes('ours') || tries === mostTries) {
          t.same(known.toSorted(), ['before-us', 'ours']);
          return;
        }
        await ended(later, 'SIGTERM');
      }
    });

    await t.test("Celery's State sees worker and tasks", async (t) => {
      const monitor = python.script(`
state = app.events.State()
received = []
def on_event(event):
    # On Redis it asks the workers for a sign of life before it listens: what it has heard proves that it does.
    if not state.event_count: say('listening')
    state.event(event)
    if event['type'] == 'task-received': received.append([event['uuid'], event['eta'] is not None])
    if event.get('uuid') == 'later' and event['type'] == 'task-received': say('scheduled')
    done = [task for task in state.tasks.values() if task.uuid in ('good', 'bad', 'later') and task.ready]
    if len(done) < 3 or 'worker@here' not in state.workers or not state.workers['worker@here'].sw_ident: return
    worker = state.workers['worker@here']
    say([worker.alive, worker.sw_ident, worker.pid, worker.freq > 0])
    for id in ('good', 'bad'):
        task = state.tasks[id]
        say([task.state, task.name, task.args, task.kwargs, task.result, task.exception, task.worker.hostname, task.runtime is not None,
             [moment is not None for moment in (task.received, task.started, task.succeeded, task.failed)], task.root_id, task.retries])
    say(sorted(received))
    raise SystemExit
with app.connection_for_read() as connection:
    receiver = app.events.Receiver(connection, handlers={'*': on_event})
    receiver.capture(timeout=60)
`);
      t.equal(await monitor.next(), 'listening');
      await add.applyAsync({ args: [0, 0], taskId: 'later', countdown: 1 });
      t.equal(await monitor.next(), 'scheduled', 'long before it runs');
      await add.applyAsync({ args: [2, 3], taskId: 'good' });
      await taskHandle<[], void>('proj.fail').applyAsync({ args: [], taskId: 'bad' });
      t.same(await monitor.next(), [true, 'umbel', worker.pid, true]);
      const moments = [true, true];
      t.same(await monitor.next(), [
        'SUCCESS',
        'proj.add',
        '(2, 3)',
        '{}',
        '5',
        null,
        'worker@here',
        true,
        [...moments, true, false],
        'good',
        0,
      ]);
      t.same(await monitor.next(), [
        'FAILURE',
        'proj.fail',
        '()',
        '{}',
        null,
        "Error('no')",
        'worker@here',
        false,
        [...moments, false, true],
        'bad',
        0,
      ]);
      t.same(
        await monitor.next(),
        [
          ['bad', false],
          ['good', false],
          ['later', true],
        ],
        'each was received once',
      );
    });

    await t.test("commands of the operator's own, from here and from Python", async (t) => {
      const said = python.script(`
say(app.control.broadcast('raise_level', {'n': 3}, destination=['worker@here'], reply=True, timeout=30))
say(app.control.inspect(destination=['worker@here'], timeout=30)._request('current_level'))
say(app.control.broadcast('raise_level', {'n': None}, destination=['snake@here'], reply=True, timeout=30))
`);
      const celery = python.script(`
import contextlib, io
from celery.worker.control import control_command
@control_command(args=[('n', int)], signature='[N=1]')
def raise_level(state, n=1): pass
from celery.bin.celery import celery
out = io.StringIO()
with contextlib.redirect_stdout(out): celery.main(args=['-A', 'tasks', 'control', '-d', 'worker@here', '-t', '30', 'raise_level', '0'], standalone_mode=False)
say(out.getvalue())
`);
      t.match(await celery.next(), /worker@here: OK[\s\S]*level is \d/, 'celery control, where Python knows of it');
      t.same(await said.next(), [{ 'worker@here': { ok: 'level is 3' } }]);
      t.same(await said.next(), { 'worker@here': { level: 3, node: 'worker@here' } });
      t.match(await said.next(), [{ 'snake@here': { error: /KeyError/ } }], 'which Python does not have');
      const run = (...words: string[]) => folder.umbel(['-b', broker, ...words], { env: modules });
      const raised = await run('control', 'raise_level', '2', '-d', 'worker@here', '-t', '30');
      t.match(raised.stdout, /worker@here: OK\n\s+level is 5/);
      t.match((await run('control', '--help')).stdout, /raise_level \[N=1\]\n\s+Raise the level\./);
      t.match((await run('help', 'inspect')).stdout, /current_level\n\s+The level now\./);
      t.match(await run('control', 'raise_level', 'much'), { status: 64, stderr: /must be a whole number, got "much"/ });
    });

    await t.test('one of them is elected, and nobody ends', async (t) => {
      const action = { task: 'proj.add', args: [4, 4], kwargs: {}, options: { task_id: 'elected' }, subtask_type: null, immutable: false };
      const elect = python.script(`app.control.election('e1', 'task', json.loads('${JSON.stringify(action)}'))`);
      await elect.rest();
      await worker.event('gossip.elected');
      await worker.event('task.succeeded', ({ taskId }) => taskId === 'elected');
      t.equal(worker.all('task.received').filter(({ taskId }) => taskId === 'elected').length, 1);
      const nodes = await folder.umbel(['-b', broker, 'status', '-t', '10', '-j', '-d', `worker@here,${second},snake@here`]);
      t.match(JSON.parse(nodes.stdout.split('\n')[0] ?? ''), { 'worker@here': {}, [second]: {}, 'snake@here': {} });
    });

    t.match(await worker.stop(), { code: 0 });
  });
}

void t.test('two on one file: the second knows at its start what was revoked on the first', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', tasks);
  const client = await folder.client();
  const start = (node: string) =>
    folder.worker(['-A', 'tasks.mjs', '-c', '1', '-n', node], { env: { UMBEL_WORKER_ENABLE_MINGLE: 'true' } });
  const first = await start('first@here').ready();
  t.equal(first.all('mingle.alone').length, 1);
  const revoked = await folder.umbel(['control', 'revoke', 'before-it', '-d', 'first@here', '-t', '30']);
  t.match(revoked, { status: 0, stdout: /tasks before-it flagged as revoked/ });
  const second = await mingled(() => start('second@here'));
  t.match(second.all('mingle.synced'), [{ nodes: 1 }]);
  // Nobody else is left who could know of it.
  await first.stop('SIGKILL');
  for (const taskId of ['before-it', 'another']) await client.call({ task: 'proj.add', args: [1, 1], kwargs: {}, options: { taskId } });
  await second.event('task.revoked', ({ taskId }) => taskId === 'before-it');
  t.equal(await client.result('another').get({ timeoutMs: 30_000 }), 2);
  t.notOk(
    second.events.some(({ event, taskId }) => event === 'task.started' && taskId === 'before-it'),
    'it did not run',
  );
  t.match(await second.stop(), { code: 0 });
});
