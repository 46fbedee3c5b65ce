/** Python Celery on the same RabbitMQ with the same queues and rpc:// results: its client and our worker, our client and its worker, one broadcast. */
import { existsSync } from 'node:fs';
import t from 'tap';
import { RemoteTaskError } from '../../src/protocol/remote-error.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, ended, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { LiveFolder } from './live-folder.ts';
import { startedClient } from './started-client.ts';

const waitSeconds = 30;

const pythonTasks = (url: string): string => `
from celery import Celery
from kombu import Exchange, Queue
from kombu.common import Broadcast
app = Celery('tasks', broker='${url}', backend='rpc://')
media = Exchange('media', type='topic')
app.conf.update(
    task_default_queue='main',
    task_queues=[
        Queue('main', Exchange('main'), 'main'),
        Queue('js', media, 'js.#', queue_arguments={'x-max-priority': 5}),
        Queue('py', media, 'py.#'),
        Broadcast('reload'),
    ],
    task_routes={'tasks.js*': {'queue': 'js', 'routing_key': 'js.some'}, 'tasks.reload': 'reload'},
    worker_prefetch_multiplier=1,
)
@app.task
def add(x, y): return x + y
@app.task
def fail(text): raise ValueError(text)
@app.task(ignore_result=True)
def reload(path): open(path + '.python', 'a').write('x')
`;

const settings = (url: string): string => `
[broker]
url = "${url}"
[result]
backend = "rpc://"
[task]
default_queue = "main"
track_started = true
routes = { "tasks.add" = { queue = "py", routing_key = "py.add" }, "tasks.fail" = "py", "tasks.reload" = "reload" }
[queues.main]
exchange = "main"
[queues.js]
exchange = "media"
exchange_type = "topic"
routing_key = "js.#"
max_priority = 5
[queues.py]
exchange = "media"
routing_key = "py.#"
[queues.reload]
broadcast = true
`;

const tasks = `
import { appendFileSync } from 'node:fs';
import { currentTask, task } from 'umbel';
export const jsAdd = (x: number, y: number): number => x + y;
export const jsFail = (text: string): never => { throw new TypeError(text); };
export const jsRetry = task({ bind: true }, (context) => {
  if (context.retries < 2) return context.retry({ countdown: 0 });
  return [context.retries, currentTask()?.deliveryInfo.exchange];
});
export const reload = (path: string): void => appendFileSync(path + '.umbel', 'x');
`;

t.test('one fleet on one topology', { skip: celeryMissing(), timeout: 120_000 }, async (t) => {
  const url = (await RabbitmqVhost.open(t)).url();
  const celery = new PythonCelery(t, pythonTasks(url));
  const python = await celery.worker(['py', 'reload']);
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  folder.write('umbel.toml', settings(url));
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '2', '-Q', 'js,reload']).ready();
  const client = await startedClient(t, folder);

  const script = celery.script(`
say(app.send_task('tasks.jsAdd', (2, 3)).get(timeout=${waitSeconds}))
say(app.send_task('tasks.jsAdd', (2, 4), priority=5).get(timeout=${waitSeconds}))
say(app.send_task('tasks.jsRetry').get(timeout=${waitSeconds}))
results = [app.send_task('tasks.jsAdd', (n, n)) for n in range(50)]
say([result.get(timeout=${waitSeconds}) for result in results])
try:
    app.send_task('tasks.jsFail', ('oops',)).get(timeout=${waitSeconds})
except Exception as exc:
    say([type(exc).__name__, str(exc)])
try:
    app.send_task('tasks.jsNobody').get(timeout=${waitSeconds})
except Exception as exc:
    say(type(exc).__name__)
reload.delay('${folder.file('reloaded')}')
`);
  const said = await script.rest();
  t.strictSame(said, [5, 6, [2, 'media'], Array.from({ length: 50 }, (_, n) => 2 * n), ['TypeError', 'oops'], 'NotRegistered']);
  const copies = [folder.file('reloaded.python'), folder.file('reloaded.umbel')];
  await eventually(t, 'both kinds of workers have their copy', () => copies.every((copy) => existsSync(copy)));

  const call = (task: string, ...args: unknown[]) => client.call<unknown>({ task, args, kwargs: {}, options: {} });
  t.equal(await (await call('tasks.add', 2, 5)).get({ timeoutMs: waitSeconds * 1000 }), 7);
  const failed = await (await call('tasks.fail', 'no')).get({ timeoutMs: waitSeconds * 1000, propagate: false });
  t.ok(failed instanceof RemoteTaskError);
  t.match(failed, { remoteName: 'ValueError', message: 'no' });
  await call('tasks.reload', folder.file('again'));
  await eventually(
    t,
    'both have the second one too',
    () => existsSync(folder.file('again.python')) && existsSync(folder.file('again.umbel')),
  );

  const complaints = worker.events.filter(
    ({ level, event }) => /^(broker|queue)\./.test(event) && (level === 'error' || level === 'warning'),
  );
  t.same(complaints, [], 'no declaration differs from those of Python');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.equal(python.exitCode, null, 'the Python worker is alive');
  await ended(python, 'SIGTERM');
});
