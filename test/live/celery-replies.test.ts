/**
 * Every remote command of `app.control`, to a Python worker and to one of ours in the same situation, over Redis and RabbitMQ: which keys the replies
 * have, and what kind of value each key. What differs is written down here, and in docs/celery-compat.md. And `celery` and `umbel` on the command line print
 * the same of either worker.
 */
import t from 'tap';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { openBroker, serverKinds } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(300_000);

const tasks = `
import { existsSync } from 'node:fs';
import { task } from 'umbel';
export const add = task({ name: 'proj.add' }, (x, y) => x + y);
export const limited = task({ name: 'proj.limited', rateLimit: '10/m' }, (x) => x);
export const wait = task({ name: 'proj.wait', acksLate: true }, async (file) => {
  while (!existsSync(file)) await new Promise((done) => setTimeout(done, 20));
});
`;

const pythonTasks = (broker: string): string => `
import os, time
from celery import Celery
app = Celery('proj', broker='${broker}')
app.conf.worker_pool_restarts = True
@app.task(name='proj.add')
def add(x, y): return x + y
@app.task(name='proj.limited', rate_limit='10/m')
def limited(x): return x
@app.task(name='proj.wait', acks_late=True)
def wait(file):
    while not os.path.exists(file): time.sleep(0.02)
`;

/** Typed to `celery` and to `umbel`. */
const lines = [
  ['status'],
  ['inspect', 'active_queues'],
  ['control', 'rate_limit', 'proj.add', '5/s'],
  ['control', 'time_limit', 'proj.add', '3', '5'],
];

/** One task runs, one waits, one waits for its ETA; then each command in turn: its label, and the replies of both. Names that must differ are made equal. */
const python = (file: string): string => `
import contextlib, io
from celery.bin.celery import celery
nodes = {'py@here': 'pyq', 'js@here': 'jsq'}
def same(reply): return json.loads(json.dumps(reply).replace('pyq', 'QUEUE').replace('jsq', 'QUEUE').replace('py@here', 'NODE').replace('js@here', 'NODE'))
def both(label, ask): say([label, *(same(ask(node, queue)) for node, queue in nodes.items())])
def look(node): return app.control.inspect(destination=[node], timeout=30)
def tell(label, order): both(label, lambda node, queue: order(queue, dict(destination=[node], reply=True, timeout=30)))
# On Redis a worker says that it is ready before it listens.
for node in nodes:
    while not look(node).ping(): pass
for queue in nodes.values():
    app.send_task('proj.add', [1, 2], queue=queue)
    for id, when in (('runs', None), ('waits', None), ('later', 300)): app.send_task('proj.wait', ['${file}'], task_id=id + queue, queue=queue, countdown=when)
# The one before them may be running still.
def runs(node, queue): return ['runs' + queue] == [task['id'] for task in look(node).active()[node]]
for node, queue in nodes.items():
    while not look(node).scheduled()[node] or not runs(node, queue) or not look(node).reserved()[node]: pass
def cli(node, words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out): celery.main(args=['-A', 'tasks', words[0], '-d', node, '-t', '30', *words[1:]], standalone_mode=False)
    return out.getvalue()
def inspect(label, ask): both(label, lambda node, queue: ask(look(node), queue)[node])
for name in ('ping', 'active', 'reserved', 'scheduled', 'revoked', 'registered', 'stats', 'active_queues', 'clock', 'report', 'memsample', 'memdump', 'conf'):
    inspect(name, lambda i, queue: getattr(i, name)())
inspect('active safe', lambda i, queue: i.active(safe=True))
inspect('registered with attributes', lambda i, queue: i.registered('rate_limit', 'acks_late', 'max_retries', 'name', 'nothing'))
inspect('query_task', lambda i, queue: i.query_task('runs' + queue, 'waits' + queue, 'unknown'))
inspect('hello', lambda i, queue: i.hello('other@here', {'r': [time.monotonic(), 'r']}))
both('hello to itself', lambda node, queue: look(node)._request('hello', from_node=node))
inspect('objgraph', lambda i, queue: i.objgraph())
c = app.control
tell('unknown', lambda queue, kw: c.broadcast('nope', **kw))
tell('rate_limit', lambda queue, kw: c.rate_limit('proj.add', '5/s', **kw))
tell('rate_limit off', lambda queue, kw: c.rate_limit('proj.add', 0, **kw))
tell('rate_limit of an unknown task', lambda queue, kw: c.rate_limit('nope', '5/s', **kw))
tell('rate_limit without arguments', lambda queue, kw: c.broadcast('rate_limit', {}, **kw))
tell('rate_limit that is none', lambda queue, kw: c.broadcast('rate_limit', dict(task_name='proj.add', rate_limit='abc'), **kw))
tell('time_limit', lambda queue, kw: c.time_limit('proj.add', hard=5, soft=3, **kw))
tell('time_limit of an unknown task', lambda queue, kw: c.time_limit('nope', hard=5, **kw))
tell('add_consumer', lambda queue, kw: c.add_consumer(queue + '-x', **kw))
tell('add_consumer with a topic', lambda queue, kw: c.add_consumer(queue + '-y', exchange='topics', exchange_type='topic', routing_key='a.*', **kw))
inspect('active_queues then', lambda i, queue: {node: sorted(queues, key=lambda one: one['name']) for node, queues in i.active_queues().items()})
tell('cancel_consumer', lambda queue, kw: c.cancel_consumer(queue + '-x', **kw))
tell('cancel_consumer of an unknown queue', lambda queue, kw: c.cancel_consumer('nope', **kw))
tell('pool_grow', lambda queue, kw: c.pool_grow(1, **kw))
tell('autoscale', lambda queue, kw: c.autoscale(5, 2, **kw))
tell('autoscale with one too many', lambda queue, kw: c.broadcast('autoscale', dict(max=1, min=1, foo=2), **kw))
tell('pool_restart', lambda queue, kw: c.pool_restart(**kw))
tell('enable_events', lambda queue, kw: c.enable_events(**kw))
tell('enable_events again', lambda queue, kw: c.enable_events(**kw))
tell('disable_events', lambda queue, kw: c.disable_events(**kw))
tell('disable_events again', lambda queue, kw: c.disable_events(**kw))
for words in json.loads('${JSON.stringify(lines)}'):
    say(['cli', words, *(same(cli(node, words)) for node in nodes)])
    sys.stdin.readline()
tell('heartbeat', lambda queue, kw: c.heartbeat(**kw))
tell('revoke', lambda queue, kw: c.revoke('waits' + queue, **kw))
tell('revoke of an unknown task', lambda queue, kw: c.revoke('unknown' + queue, terminate=True, signal='TERM', **kw))
tell('terminate with a signal that is none', lambda queue, kw: c.terminate('runs' + queue, signal='NOPE', **kw))
tell('terminate', lambda queue, kw: c.terminate('runs' + queue, signal='SIGKILL', **kw))
inspect('revoked then', lambda i, queue: i.revoked())
open('${file}', 'w').close()
tell('shutdown', lambda queue, kw: c.shutdown(**{**kw, 'timeout': 0.5}))
say(['end', None, None])
`;

/** Paths below a label that may differ, and why they do. */
const meant: Record<string, string> = {
  'stats.pool.implementation': 'since 5.3',
  'stats.pool.writes.strategy': 'fair is not our default',
  memsample: 'null without psutil',
  objgraph: 'an error without objgraph',
  conf: 'settings of its own',
  '*.delivery_info.redelivered': 'null on Redis in Python',
  'terminate with a signal that is none': 'in our words',
};
/** Texts that differ by design: who said it, and how. */
const free = ['report', 'memdump', 'stats', 'scheduled', 'rate_limit that is none'];

type Kind = string | Kind[] | { [key: string]: Kind };

function kindOf(value: unknown): Kind {
  if (Array.isArray(value)) return value.length === 0 ? [] : [kindOf(value[0])];
  if (value === null) return 'null';
  return typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, kindOf(item)])) : typeof value;
}

/** Where two replies differ in keys and kinds, and texts in what they say. */
function differences(path: string, ours: unknown, theirs: unknown): string[] {
  const anywhere = `*${path.slice(path.lastIndexOf('.', path.lastIndexOf('.') - 1))}`;
  if (meant[path] !== undefined || meant[anywhere] !== undefined) return [];
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    if (ours.length !== theirs.length) return [`${path}: ${ours.length} items, Celery has ${theirs.length}`];
    return ours.flatMap((item, at) => differences(path, item, theirs[at]));
  }
  const kinds = [kindOf(ours), kindOf(theirs)];
  if (typeof kinds[0] === 'object' && typeof kinds[1] === 'object' && !Array.isArray(ours) && !Array.isArray(theirs)) {
    const [a, b] = [ours, theirs] as Record<string, unknown>[];
    return [...new Set([...Object.keys(a!), ...Object.keys(b!)])].flatMap((key) => {
      const below = `${path}.${key}`;
      if (meant[below] !== undefined) return [];
      if (!Object.hasOwn(a!, key)) return [`${below}: not there`];
      return Object.hasOwn(b!, key) ? differences(below, a![key], b![key]) : [`${below}: not in Celery`];
    });
  }
  if (JSON.stringify(kinds[0]) !== JSON.stringify(kinds[1]))
    return [`${path}: ${JSON.stringify(ours)}, Celery has ${JSON.stringify(theirs)}`];
  const isFree = typeof ours !== 'string' || free.some((label) => path.startsWith(label));
  return isFree || ours === theirs ? [] : [`${path}: ${ours}, Celery says ${String(theirs)}`];
}

function sameNames(text: string): string {
  return text.replaceAll(/pyq|jsq/g, 'QUEUE').replaceAll(/(?:py|js)@here/g, 'NODE');
}

t.test('what is compared', async (t) => {
  t.same(differences('x', { a: 1, b: [{ c: 'x' }] }, { a: 2.5, b: [{ c: 'x' }] }), []);
  t.same(differences('x', { a: 1 }, { b: 1 }), ['x.a: not in Celery', 'x.b: not there']);
  t.same(differences('x', { a: '1' }, { a: 1 }), ['x.a: "1", Celery has 1']);
  t.same(differences('x', [{ ok: 'a' }], [{ ok: 'b' }]), ['x.ok: a, Celery says b']);
  t.same(differences('x', { a: null }, { a: {} }), ['x.a: null, Celery has {}']);
});

for (const kind of serverKinds) {
  void t.test(`replies: ${kind}`, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { url: broker } = await openBroker(t, kind, folder);
    folder.write('tasks.mjs', tasks);
    const celery = new PythonCelery(t, pythonTasks(broker));
    const [worker] = await Promise.all([
      folder
        .worker(['-A', folder.file('tasks.mjs'), '-b', broker, '-c', '1', '-n', 'js@here', '-Q', 'jsq'], {
          env: { UMBEL_WORKER_POOL_RESTARTS: 'true', UMBEL_RESULT_BACKEND: 'disabled' },
          cwd: folder.path,
        })
        .ready(),
      celery.worker(['pyq'], ['-n', 'py@here', '-P', 'prefork', '-c', '1'], true),
    ]);
    const script = celery.script(python(folder.file('go')));
    let compared = 0;
    for (;;) {
      const [label, theirs, ours, oursByCelery] = (await script.next()) as [string, unknown, unknown, unknown];
      if (label === 'end') break;
      if (label === 'cli') {
        const words = theirs as string[];
        const byUmbel = async (node: string): Promise<string> =>
          sameNames((await folder.umbel(['-b', broker, ...words, '-d', node, '-t', '30'])).stdout);
        t.equal(oursByCelery, ours, `celery ${words.join(' ')}`);
        t.same([await byUmbel('py@here'), await byUmbel('js@here')], [ours, ours], `umbel ${words.join(' ')}`);
        script.say('go on');
        continue;
      }
      compared += 1;
      t.same(differences(label, ours, theirs), [], label);
    }
    t.equal(compared, 47);
    t.equal((await worker.end()).code, 0, 'told to shut down');
  });
}
