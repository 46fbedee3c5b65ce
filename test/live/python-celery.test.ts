/** Real Python Celery sends over `sqla+sqlite:///`, the worker runs it: retries by ETA, links, chains, error callbacks; and the other way round. */
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

const python = '/usr/bin/python3';

const tasks = `
import { appendFileSync } from 'node:fs';
import { currentTask, task } from 'umbel';

export const add = (x: number, y: number) => x + y;
export const describe = (x: unknown, { name, ...more }: { name?: string } = {}) => ({ x, name, more, lang: currentTask()?.origin });
export const flaky = task({ bind: true }, (self, n: number) => {
  if (self.retries < n) self.retry({ countdown: 0.2, exc: new Error('not yet') });
  return { retries: self.retries, eta: self.eta, root: self.rootId, args: self.args };
});
export const fails = (text: string) => { throw new TypeError(text); };
export const kills = () => { process.kill(process.pid, 'SIGKILL'); for (;;) {} };
export const heard = (...args: unknown[]) => args;
/** An error callback in the new form gets the request, the error and the traceback; in the old one the id. */
export const onError = (...args: unknown[]) => args.length + ' ' + String(args[0]);
export const parents = task({ bind: true }, (self, x: number) => ({ x: x + 1, parent: self.parentId, root: self.rootId }));
export const next = ({ x }: { x: number }) => x * 10;
`;

const app = `
import os
from celery import Celery, chain, signature
app = Celery('client', broker='sqla+sqlite:///' + os.environ['UMBEL_TEST_DB'])
def sig(name, /, *args, **kwargs):
    return signature('tasks.' + name, args=args, kwargs=kwargs, app=app)
`;

interface Scene {
  readonly folder: LiveFolder;
  readonly client: App;
  readonly worker: LiveWorker;
  /** Run Python in the folder; its output. */
  python(script: string): Promise<string>;
}

async function setUp(t: Test): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  folder.write('client.py', app);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '2']).ready();
  return {
    folder,
    client,
    worker,
    async python(script) {
      const ended = await folder.run(python, ['-c', `from client import *\n${script}`], { env: { UMBEL_TEST_DB: folder.database } });
      if (ended.status !== 0) throw new Error(`the Python script must succeed:\n${ended.stderr}`);
      return ended.stdout;
    },
  };
}

const outcome = ({ client }: Scene, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000, propagate: false });

void t.test('python3-celery and python3-sqlalchemy are installed', async (t) => {
  t.equal(spawnSync(python, ['-c', 'import celery, sqlalchemy']).status, 0);
});

void t.test('tasks sent by Python', async (t) => {
  const scene = await setUp(t);
  const sentMs = await scene.python(`
import time
sig('add', 2, 3).apply_async(task_id='add')
sig('describe', [1, None, 'ä'], name='n', other={'deep': [True]}).apply_async(task_id='describe', priority=5)
print(time.time() * 1000)
sig('add', 1, 1).apply_async(task_id='countdown', countdown=2)
sig('add', 1, 1).apply_async(task_id='expired', expires=-1)
sig('nobody').apply_async(task_id='unknown')
sig('add', 1).apply_async(task_id='too-few')
sig('add', x=5, y=6).apply_async(task_id='by-name', compression='zlib')
app.conf.task_protocol = 1
sig('add', 7, 8).apply_async(task_id='protocol-1')
`);
  t.equal(await outcome(scene, 'add'), 5);
  t.match(await outcome(scene, 'describe'), { x: [1, null, 'ä'], name: 'n', more: { other: { deep: [true] } }, lang: /^gen\d+@/ });
  t.equal(await outcome(scene, 'countdown'), 2);
  const startedMs = Date.parse((await scene.worker.event('task.started', ({ taskId }) => taskId === 'countdown')).ts);
  const waitedMs = startedMs - Math.floor(Number(sentMs));
  t.ok(waitedMs >= 2000, `it waited, got ${waitedMs} ms`);
  t.match(await outcome(scene, 'expired'), { state: 'REVOKED' });
  t.match(await outcome(scene, 'unknown'), { remoteName: 'NotRegistered' });
  t.match(await outcome(scene, 'too-few'), { remoteName: 'TypeError', message: "add() missing 1 required positional argument: 'y'" });
  t.equal(await outcome(scene, 'by-name'), 11);
  t.equal(await outcome(scene, 'protocol-1'), 15);
  await scene.worker.stop();
});

void t.test('retries of a task sent by Python go back by ETA', async (t) => {
  const scene = await setUp(t);
  await scene.python("sig('flaky', 2).apply_async(task_id='flaky')");
  t.match(await outcome(scene, 'flaky'), { retries: 2, eta: /^\d{4}-\d\d-\d\dT/, root: 'flaky', args: [2] });
  await scene.worker.stop();
  t.equal(scene.worker.all('task.retried').length, 2);
});

void t.test('links, error links and chains made by Python', async (t) => {
  const scene = await setUp(t);
  await scene.python(`
sig('add', 2, 3).apply_async(task_id='linking', link=[sig('add', 10).set(task_id='link-1'), sig('heard', 'immutable').set(task_id='link-2', immutable=True)])
sig('fails', 'boom').apply_async(task_id='failing', link=sig('heard').set(task_id='not-called'), link_error=sig('onError').set(task_id='errback'))
sig('kills').apply_async(task_id='killed', link_error=sig('onError').set(task_id='errback-of-killed'))
chain(sig('parents', 1).set(task_id='step-1'), sig('next').set(task_id='step-2'), sig('add', 2).set(task_id='step-3')).apply_async()
chain(sig('fails', 'early').set(task_id='bad-1'), sig('next').set(task_id='bad-2'), sig('add', 2).set(task_id='bad-3')).apply_async()
`);
  t.equal(await outcome(scene, 'linking'), 5);
  t.equal(await outcome(scene, 'link-1'), 15);
  t.match(await outcome(scene, 'link-2'), ['immutable']);
  t.match(await outcome(scene, 'failing'), { remoteName: 'TypeError', message: 'boom' });
  t.equal(await outcome(scene, 'errback'), '1 failing');
  t.match(await outcome(scene, 'killed'), { remoteName: 'WorkerLostError' });
  t.equal(await outcome(scene, 'errback-of-killed'), '1 killed');
  t.match(await outcome(scene, 'step-1'), { x: 2, root: 'step-1' });
  t.equal(await outcome(scene, 'step-2'), 20);
  t.equal(await outcome(scene, 'step-3'), 22);
  for (const id of ['bad-1', 'bad-2', 'bad-3'])
    t.match(await outcome(scene, id), { state: 'FAILURE', remoteName: 'TypeError', message: 'early' }, id);
  await scene.worker.stop();
  t.equal(scene.worker.all('task.received').filter(({ taskId }) => ['not-called', 'bad-2', 'bad-3'].includes(String(taskId))).length, 0);
});

void t.test('the result is a document Python can read', async (t) => {
  const scene = await setUp(t);
  await scene.python("sig('add', 2, 3).apply_async(task_id='add'); sig('fails', 'boom').apply_async(task_id='failing')");
  await outcome(scene, 'add');
  await outcome(scene, 'failing');
  const read = await scene.python(`
import json, sqlite3
from celery.backends.base import Backend
backend = Backend(app)
for task_id, document in sqlite3.connect(os.environ['UMBEL_TEST_DB']).execute("SELECT task_id, document FROM umbel_result ORDER BY task_id"):
    meta = backend.meta_from_decoded(json.loads(document))
    result = meta['result']
    print(task_id, meta['status'], result if meta['status'] == 'SUCCESS' else type(result).__name__ + ':' + str(result), meta['task_id'], meta['children'])
`);
  t.equal(read, 'add SUCCESS 5 add []\nfailing FAILURE TypeError:boom failing []\n');
  await scene.worker.stop();
});

void t.test('a Python worker runs what is called with umbel', async (t) => {
  const folder = new LiveFolder(t);
  folder.write(
    'pytasks.py',
    `import os
from celery import Celery
app = Celery('pytasks', broker='sqla+sqlite:///' + os.environ['UMBEL_TEST_DB'])
@app.task(name='py.write', bind=True)
def write(self, x, *, mark):
    with open('ran', 'a') as out:
        out.write('%s %s %s %s\\n' % (self.request.id, x, mark, self.request.root_id))
    os.kill(os.getppid(), 15)
`,
  );
  t.equal((await folder.umbel(['call', 'py.write', '--args', '[5]', '--kwargs', '{"mark": "ä"}', '--task-id', 'from-umbel'])).status, 0);
  const worker = await folder.run(
    python,
    ['-m', 'celery', '-A', 'pytasks', 'worker', '-P', 'prefork', '-c', '1', '--without-mingle', '--without-gossip'],
    {
      env: { UMBEL_TEST_DB: folder.database },
    },
  );
  t.equal(worker.signal, null, worker.stderr);
  t.equal(folder.read('ran'), 'from-umbel 5 ä from-umbel\n');
});
