/**
 * Every kind of message that umbel can write goes to a Python worker with Debian's py-amqp and kombu, which some messages end for good:
 * it runs them all, reads their headers as they were meant, and is alive afterwards.
 *
 * Queues: `py` is the Python worker's; `js`, `hand1`, `hand2` and `mortal` are those of umbel workers. What these hold, have put off, parked in the
 * broker or are to try again goes to the Python worker when they have been stopped.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { AmqpBroker } from '../../src/broker/amqp/amqp-broker.ts';
import type { Broker } from '../../src/broker/broker.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { amqpBroker } from '../broker/amqp/amqp-place.ts';
import { redisBroker } from '../broker/redis/redis-place.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { startedClient } from './started-client.ts';

t.setTimeout(400_000);

/** Of each kind and size that a header can have. */
const custom = {
  zero: 0,
  small: 5,
  minus: -1,
  byte: 200,
  short: 1000,
  minusShort: -1000,
  word: 40_000,
  int: 100_000,
  minusInt: -(2 ** 31),
  beyond: 2 ** 31,
  minusBeyond: -(2 ** 31) - 1,
  long: 2 ** 40,
  minusLong: -(2 ** 40),
  longest: Number.MAX_SAFE_INTEGER,
  minusLongest: Number.MIN_SAFE_INTEGER,
  float: 1.5,
  minusFloat: -0.25,
  huge: 1e300,
  none: null,
  yes: true,
  no: false,
  text: 'ü 🐍 "quoted"',
  empty: '',
  list: [1, -1, 300, 70_000, 2 ** 40, [2, { deep: -3 }], null, 'x', 0.5],
  nothing: {},
  '!': 'int8',
};
const customJson = JSON.stringify(custom);

const pythonTasks = (url: string, results: string, file: string): string => `
import json
from celery import Celery, chain, chord, group
app = Celery('tasks', broker='${url}', backend='${results}')
app.conf.update(task_default_queue='py', worker_prefetch_multiplier=8, worker_redirect_stdouts=False, task_queue_max_priority=None)

@app.task(name='both.note', bind=True)
def note(self, *args, **kwargs):
    with open('${file}', 'a') as out:
        out.write(json.dumps([self.request.id, self.request.get('custom'), self.request.retries]) + '\\n')
    return 1

@app.task(name='py.only', bind=True)
def only(self, *args, **kwargs): return note.run.__func__(self, *args, **kwargs)
`;

const umbelTasks = `
import { Reject, task } from 'umbel';
export const note = task({ name: 'both.note', bind: true, acksLate: true }, (context, how) => {
  if (how === 'reject') throw new Reject();
  if (how === 'boom') throw new TypeError('boom');
  if (how === 'retry' && context.retries === 0) return context.retry({ countdown: 15 });
  return how;
});
`;

/** What a Python client asks of umbel workers, so that they write what follows for the Python worker. Ids of those begin with "f-". */
const followUps = `
custom = json.loads(r'''${customJson}''')
def py(name, *args, **options): return note.si(*args).set(queue='py', task_id='f-' + name, **options)
def js(how='go', **options): return note.si(how).set(queue='js', **options)
js().apply_async(link=[
    py('link', headers={'custom': custom}, priority=5, countdown=0.2, expires=600, time_limit=60, soft_time_limit=50, shadow='other'),
    note.s({'nested': [1, None]}).set(queue='py', task_id='f-link-mutable'),
])
js().apply_async(link=group(py('group-1'), py('group-2')))
js('boom').apply_async(link_error=[note.s().set(queue='py', task_id='f-errback'), py('errback-2', headers={'custom': custom})])
chain(js(), py('chain-2'), js(), py('chain-4', priority=9), js(), group(py('chain-group-1'), py('chain-group-2'))).apply_async()
chord([js(), py('part')], note.s().set(queue='py', task_id='f-body')).apply_async()
chord([js(), js()], chain(py('body-chain-1'), js(), py('body-chain-2'))).apply_async()
chain(js(), chord([py('inner-part-1'), py('inner-part-2')], py('inner-body'))).apply_async()
js().apply_async(headers={'custom': custom, 'mine': 7}, stamped_headers=['mine'], mine=7, link=py('stamped'))
`;
const followUpIds = [
  ...['link', 'link-mutable', 'group-1', 'group-2', 'errback', 'errback-2', 'chain-2', 'chain-4', 'chain-group-1', 'chain-group-2'],
  ...['part', 'body', 'body-chain-1', 'body-chain-2', 'inner-part-1', 'inner-part-2', 'inner-body', 'stamped'],
].map((name) => `f-${name}`);

/** Written as umbel writes, with every field that a message can have. Their ids. */
async function sendRaw(broker: Broker): Promise<string[]> {
  const inAMinute = Date.now() + 60_000;
  const variants = {
    plain: {},
    custom: { headers: { custom } },
    times: { etaMs: Date.now() + 300.25, expiresMs: inAMinute },
    limits: { hardTimeLimitSeconds: 30.5, softTimeLimitSeconds: 20 },
    tree: { group: 'a-group', groupIndex: 300, rootId: 'root', parentId: 'parent' },
    repeated: { retries: 200, headers: { custom }, shadow: 'shadow' },
    stamped: { stampedHeaders: ['mine'], stamps: { mine: [1, 'x'] } },
    embedded: { callbacks: [], errbacks: [], chain: [] },
    priority: { priority: 255 },
    reply: { replyTo: 'nobody-listens', ignoreResult: true },
    kwargs: { kwargs: { a: -1, b: [2 ** 40], c: null } },
    transient: { deliveryMode: 1 },
    compressed: { compression: 'application/x-gzip' },
  } as const;
  const ids: string[] = [];
  for (const protocol of [2, 1] as const) {
    for (const [name, fields] of Object.entries(variants)) {
      const id = `raw${protocol}-${name}`;
      const message = encodeTask({ task: 'both.note', id, args: ['ü', 1], kwargs: {}, origin: 'gen1@here', protocol, ...fields });
      await broker.publish(message, { exchange: '', routingKey: 'py' });
      ids.push(id);
    }
  }
  return ids;
}

interface Ran {
  readonly custom: unknown;
  readonly retries: number;
}

for (const kind of ['rabbitmq', 'redis'] as const) {
  void t.test(`messages of every kind over ${kind}`, { skip: celeryMissing() }, async (t: Test) => {
    t.setTimeout(180_000);
    const redis = await RedisServer.start(t);
    const url = kind === 'redis' ? redis.url() : (await RabbitmqVhost.open(t)).url();
    const folder = new LiveFolder(t);
    const file = folder.file('ran');
    const ran = (): Map<string, Ran> =>
      new Map(
        (existsSync(file) ? folder.read('ran') : '')
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as [string, unknown, number])
          .map(([id, given, retries]) => [id, { custom: given, retries }]),
      );
    const settings = (parkAfterSeconds: number): string => `
[broker]
url = "${url}"
${kind === 'redis' ? '' : `park_after_seconds = ${parkAfterSeconds}`}
[result]
backend = "${redis.url(1)}"
[task]
default_queue = "py"
[queues.py]
[queues.js]
[queues.hand1]
[queues.hand2]
[queues.mortal]
queue_arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "py" }
`;
    folder.write('umbel.toml', settings(600));
    folder.write('parking/umbel.toml', settings(1));
    const module = folder.write('tasks.mjs', umbelTasks);

    const celery = new PythonCelery(t, pythonTasks(url, redis.url(1), file));
    const python = await celery.worker(['py']);
    let said = '';
    python.stderr?.on('data', (chunk) => {
      said += String(chunk);
    });
    const worker = folder.worker(['-A', module, '-c', '2', '-n', 'one@localhost', '-Q', 'js,hand1,mortal']);
    const parking = folder.worker(['-A', module, '-c', '1', '-n', 'two@localhost', '-Q', 'hand2'], { cwd: folder.file('parking') });
    await Promise.all([worker.ready(), parking.ready()]);
    const client = await startedClient(t, folder);
    const raw = kind === 'redis' ? redisBroker(url) : amqpBroker(url);
    t.teardown(() => raw.stop());
    await raw.start();

    const wanted: string[] = await sendRaw(raw);
    const call = async (id: string, options: object, how = 'go'): Promise<void> => {
      await client.call({ task: 'both.note', args: [how], kwargs: {}, options: { taskId: id, headers: { custom }, ...options } });
      wanted.push(id);
    };
    await call('call', {});
    await call('countdown', { countdown: 0.4, expires: 600, priority: 9, shadow: 'x', retries: 3 });
    await call('eta', { eta: new Date(Date.now() + 200), deliveryMode: 'transient', ignoreResult: true });
    if (kind === 'rabbitmq') {
      await call('dead', { queue: 'mortal' }, 'reject');
      await client.call({ task: 'py.only', args: [], kwargs: {}, options: { taskId: 'unknown-here', queue: 'mortal' } });
      wanted.push('unknown-here');
    }
    await celery.script(followUps).rest();
    wanted.push(...followUpIds);

    const haveRun = async (those: readonly string[]): Promise<void> => {
      const missing = (): string[] => those.filter((id) => !ran().has(id));
      await eventually(t, `${those.length} have run`, () => missing().length === 0).catch((error: unknown) => {
        t.comment(`missing: ${missing().join()}; Python says: ${said.slice(-3000)}`);
        throw error;
      });
    };
    await haveRun(wanted);
    // Held here until they are due, and put off by a retry; given back at the end. Parked for eight seconds first: so long both must be there to be seen.
    await call('held', { queue: 'hand1', countdown: 15 });
    await call('retry', { queue: 'hand1' }, 'retry');
    await call('parked', { queue: 'hand2', countdown: 15 });
    await call('parked-retry', { queue: 'hand2' }, 'retry');
    for (const [one, ids] of [
      [worker, ['held', 'retry']],
      [parking, ['parked', 'parked-retry']],
    ] as const)
      for (const id of ids) await one.event('task.deferred', ({ taskId }) => taskId === id);
    if (kind === 'rabbitmq') {
      const { topology } = raw as AmqpBroker;
      await eventually(t, 'both are parked in the broker', async () => (await topology.look('umbel.delayed.8s'))?.messages === 2);
    }
    for (const one of [worker, parking]) t.match(await one.stop(), { code: 0 });
    await celery.script(`for queue in ['hand1', 'hand2']: assert app.control.add_consumer(queue, reply=True, timeout=20, limit=1)`).rest();
    await haveRun(wanted);
    await call('last', {});
    await haveRun(['last']);
    t.equal(python.exitCode, null);
    t.notMatch(said, /Unrecoverable|CRITICAL|Traceback/, 'and has nothing to complain of');
    const all = ran();
    for (const id of [
      'raw2-custom',
      'raw2-repeated',
      'call',
      'countdown',
      'eta',
      'held',
      'retry',
      'parked',
      'parked-retry',
      'f-link',
      'f-errback-2',
    ])
      t.strictSame(all.get(id)?.custom, custom, `${id}: headers as they were meant`);
    t.equal(all.get('retry')?.retries, 1);
    t.equal(all.get('raw2-repeated')?.retries, 200);
    if (kind === 'rabbitmq') t.strictSame(all.get('dead')?.custom, custom, 'dead-lettered: RabbitMQ wrote the headers anew');
  });
}

const replyTasks = `
import { Ignore, Reject, task } from 'umbel';
export const states = task({ name: 'js.states', bind: true, acksLate: true, trackStarted: true }, async (context, how) => {
  await context.updateState({ state: 'PROGRESS', meta: { done: 1, of: -70_000, list: [null, 0.5, 'ü'] } });
  if (how === 'fail') throw new TypeError('ü');
  if (how === 'own') throw new (class OwnError extends Error { name = 'OwnError'; })('own');
  if (how === 'ignore') throw new Ignore();
  if (how === 'reject') throw new Reject();
  if (how === 'retry' && context.retries < 2) return context.retry({ countdown: 0 });
  return [how, 2 ** 40, -1, 0.5, null, { deep: ['ü'] }];
});
export const die = task({ name: 'js.die' }, () => process.kill(process.pid, 'SIGKILL'));
`;

t.test('replies of every state to a Python client', { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(120_000);
  const url = (await RabbitmqVhost.open(t)).url();
  const folder = new LiveFolder(t);
  const module = folder.write('tasks.mjs', replyTasks);
  const worker = folder.worker(['-A', module, '-c', '2'], { env: { UMBEL_BROKER_URL: url, UMBEL_RESULT_BACKEND: 'rpc://' } });
  await worker.ready();
  const celery = new PythonCelery(t, `from celery import Celery\napp = Celery('tasks', broker='${url}', backend='rpc://')\n`);
  const script = celery.script(`
def outcome(result, seen=None):
    try:
        return ['ok', result.get(timeout=30, on_message=seen)]
    except Exception as error:
        return [type(error).__name__, str(error)]
for how in ['go', 'fail', 'own', 'retry']:
    states = []
    result = app.send_task('js.states', (how,))
    said = outcome(result, lambda message: states.append([message['status'], message['result'] if message['status'] == 'PROGRESS' else None]))
    say([how, said, states])
for how in ['ignore', 'reject']: app.send_task('js.states', (how,))
say(outcome(app.send_task('js.states', ('go',), expires=-10)))
say(outcome(app.send_task('js.nobody')))
say(outcome(app.send_task('js.die')))
say(outcome(app.send_task('js.states', ('last',))))
`);
  const progress = ['PROGRESS', { done: 1, of: -70_000, list: [null, 0.5, 'ü'] }];
  const run = (end: string): unknown[] => [['STARTED', null], progress, [end, null]];
  const value = (how: string): unknown[] => ['ok', [how, 2 ** 40, -1, 0.5, null, { deep: ['ü'] }]];
  const [go, fail, own, retry, revoked, unknown, died, last] = await script.rest();
  t.strictSame(go, ['go', value('go'), run('SUCCESS')]);
  t.strictSame(fail, ['fail', ['TypeError', 'ü'], run('FAILURE')]);
  t.strictSame(own, ['own', ['OwnError', 'own'], run('FAILURE')]);
  // Stored when the next try is published, which may be over by then.
  const [, end, states] = retry as [unknown, unknown, [string, unknown][]];
  t.strictSame(end, value('retry'));
  t.ok(states.some(([state]) => state === 'RETRY'));
  t.strictSame(
    states.filter(([state]) => state !== 'RETRY'),
    [...run('').slice(0, 2), ...run('').slice(0, 2), ...run('SUCCESS')],
  );
  t.strictSame(revoked, ['TaskRevokedError', 'expired']);
  t.strictSame(unknown, ['NotRegistered', "'js.nobody'"]);
  t.match(died, ['WorkerLostError', /^Worker exited prematurely: signal 9 \(SIGKILL\)/]);
  t.strictSame(last, value('last'));
  t.match(await worker.stop(), { code: 0 });
});
