/** Results, groups and chords shared with real Python Celery, in both directions. Skipped where Celery is not installed. */
import t, { type Test } from 'tap';
import type { ChordOutcome } from '../../../src/backend/group-store.ts';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import type { Delivery } from '../../../src/broker/broker.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import {
  exceptionDocument,
  notRegistered,
  softTimeLimitExceeded,
  taskRevoked,
  timeLimitExceeded,
  workerLost,
} from '../../../src/protocol/exception.ts';
import { RemoteTaskError } from '../../../src/protocol/remote-error.ts';
import type { ResultTuple } from '../../../src/protocol/result-tuple.ts';
import { encodeTask, readContent, readReceipt } from '../../../src/protocol/task-message.ts';
import { openInbox } from '../../broker/inbox.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { celeryMissing, ended, PythonCelery } from '../../python-celery.ts';
import { RedisServer, redisVersion } from '../../redis-server.ts';
import { record } from '../conformance.ts';
import { connectionTo } from './redis-place.ts';

const waitMs = 60_000;

/** The client of Python fails by itself, its own worker or ours: it unsubscribes from what it has not subscribed to. */
function pythonCannotWaitForChords(): string | false {
  const { name, major, minor } = redisVersion();
  return name === 'valkey' && major === 8 && minor === 0 ? 'Celery 5.2 cannot wait for chords on Valkey 8.0 (NOSUB)' : false;
}

function tasksModule(url: string, options = ''): string {
  return `
import time
from celery import Celery, chord, chain, group
from celery.exceptions import Ignore
app = Celery('tasks', broker='${url}', backend='${url}')
app.conf.update(task_track_started=True, result_extended=True, result_chord_join_timeout=10${options})

class PaymentError(Exception):
    pass

@app.task
def add(x, y): return x + y

@app.task
def xsum(numbers): return sum(numbers)

@app.task
def same(value): return value

@app.task
def fail(text): raise PaymentError(text)

@app.task
def fail_with_value(): raise ValueError('boom', 3)

@app.task(bind=True, max_retries=1)
def again(self):
    if self.request.retries == 0: raise self.retry(countdown=0, exc=KeyError('k'))
    return 'done'

@app.task(bind=True)
def progress(self):
    self.update_state(state='PROGRESS', meta={'current': 1})
    return 'end'
`;
}

interface Mixed {
  readonly server: RedisServer;
  readonly celery: PythonCelery;
  readonly backend: RedisBackend;
  readonly broker: RedisBroker;
}

async function mixed(t: Test, options: { readonly chordOrdered?: boolean; readonly globalKeyPrefix?: string } = {}): Promise<Mixed> {
  const server = await RedisServer.start(t);
  const { chordOrdered = true, globalKeyPrefix = '' } = options;
  const transport = `, result_backend_transport_options={'result_chord_ordered': ${chordOrdered ? 'True' : 'False'}}`;
  const celery = new PythonCelery(t, tasksModule(server.url(), transport));
  const connection = connectionTo(server);
  const backend = new RedisBackend({ connection, resultExpiresMs: 86_400_000, chordOrdered, globalKeyPrefix });
  const broker = new RedisBroker({ connection, log: new RecordingLog() });
  await broker.start();
  await backend.start();
  t.teardown(async () => {
    await backend.stop();
    await broker.stop();
  });
  return { server, celery, backend, broker };
}

t.test('real Python Celery', { skip: celeryMissing() }, async (t) => {
  t.test('Python reads what we stored: values, every kind of failure, states, extended', async (t) => {
    const { celery, backend } = await mixed(t);
    const own = class PaymentError extends Error {};
    const traceback = 'Error: boom\n    at task (tasks.ts:3:9)\n';
    const failures: Readonly<Record<string, object>> = {
      builtin: exceptionDocument(new TypeError('wrong type')),
      ranged: exceptionDocument(new RangeError('out of it')),
      ours: exceptionDocument(new own('card "refused" ü')),
      thrown: exceptionDocument('just text'),
      hard: timeLimitExceeded(300),
      soft: softTimeLimitExceeded(),
      lost: workerLost('Worker exited prematurely: signal 9 (SIGKILL) Job: 15.'),
      unregistered: notRegistered('nope.task'),
      revoked: taskRevoked('terminated'),
    };
    for (const [name, document] of Object.entries(failures))
      await backend.store({
        ...record(name, name === 'revoked' ? 'REVOKED' : 'FAILURE', document),
        traceback: name === 'revoked' ? null : traceback,
      });
    const value = { list: [1, 2.5, 'ü\u2028"', null, true], deep: { a: {} } };
    await backend.store({
      ...record('value', 'SUCCESS', value, { groupId: 'g', parentId: 'p' }),
      childrenJson: '[[["c", null], null]]',
      dateDoneMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
      extended: { name: 'tasks.add', argsJson: '[1, 2]', kwargsJson: '{"k": 3}', worker: 'w@h', retries: 2, queue: 'q' },
    });
    await backend.store(record('running', 'PROGRESS', { current: 3 }));
    await backend.store(record('retried', 'RETRY', { exc_type: 'KeyError', exc_message: ['k'], exc_module: 'builtins' }));
    const script = celery.script(`
def look(id):
    result = app.AsyncResult(id)
    found = {'state': result.state, 'traceback': result.traceback}
    try:
        found['value'] = result.get(timeout=10)
    except Exception as exc:
        found.update(type=type(exc).__name__, module=type(exc).__module__, args=list(exc.args))
    return found
for id in ${JSON.stringify(Object.keys(failures))}: say([id, look(id)])
result = app.AsyncResult('value')
say([look('value'), result.name, result.args, result.kwargs, result.worker, result.retries, result.queue,
     result.date_done.isoformat(), [child.id for child in result.children]])
say([app.AsyncResult('running').state, app.AsyncResult('running').info])
say([app.AsyncResult('retried').state, repr(app.AsyncResult('retried').info)])
app.AsyncResult('value').forget()
`);
    const said = new Map<string, unknown>();
    for (let left = Object.keys(failures).length; left > 0; left--) {
      const [name, found] = (await script.next()) as [string, unknown];
      said.set(name, found);
    }
    const found = (name: string, type: string, module: string | RegExp, args: readonly unknown[], state = 'FAILURE') =>
      t.match(said.get(name), { state, type, module, args, traceback: state === 'FAILURE' ? traceback : null }, name);
    found('builtin', 'TypeError', 'builtins', ['wrong type']);
    found('ranged', 'ValueError', 'builtins', ['out of it']);
    found('ours', 'PaymentError', /./, ['card "refused" ü']);
    found('thrown', 'Error', /./, ['just text']);
    found('hard', 'TimeLimitExceeded', 'billiard.exceptions', [300]);
    found('soft', 'SoftTimeLimitExceeded', 'billiard.exceptions', []);
    found('lost', 'WorkerLostError', 'billiard.exceptions', ['Worker exited prematurely: signal 9 (SIGKILL) Job: 15.']);
    found('unregistered', 'NotRegistered', 'celery.exceptions', ['nope.task']);
    found('revoked', 'TaskRevokedError', 'celery.exceptions', ['terminated'], 'REVOKED');
    t.strictSame(await script.next(), [
      { state: 'SUCCESS', traceback: null, value },
      'tasks.add',
      [1, 2],
      { k: 3 },
      'w@h',
      2,
      'q',
      '2026-01-02T03:04:05.678000+00:00',
      ['c'],
    ]);
    t.strictSame(await script.next(), ['PROGRESS', { current: 3 }]);
    t.strictSame(await script.next(), ['RETRY', "KeyError('k')"]);
    await script.rest();
    t.equal(await backend.get('value'), null, 'Python forgot it');
  });

  t.test('Python waits, and wakes up for our result', async (t) => {
    const { celery, backend, server } = await mixed(t);
    const script = celery.script(`
result = app.AsyncResult('awaited')
result.backend.result_consumer.start(result.id)
say('waiting')
say(result.get(timeout=${waitMs / 1000}))
`);
    t.equal(await script.next(), 'waiting');
    while (server.cli('PUBSUB', 'CHANNELS', '*awaited') === '') await new Promise((resolve) => setImmediate(resolve));
    await backend.store(record('awaited', 'STARTED', { pid: 1, hostname: 'h' }));
    await backend.store(record('awaited', 'SUCCESS', 'here'));
    t.strictSame(await script.rest(), ['here']);
  });

  t.test('we read what Python stored, and wake up for it', async (t) => {
    const { celery, backend } = await mixed(t);
    const ids = ['sum', 'failed', 'two', 'again', 'progress'];
    const waits = ids.map((id) => backend.wait(`py-${id}`, { timeoutMs: waitMs }));
    await celery.worker(['celery']);
    const script = celery.script(`
add.apply_async((2, 3), task_id='py-sum')
fail.apply_async(('card refused',), task_id='py-failed')
fail_with_value.apply_async(task_id='py-two')
again.apply_async(task_id='py-again')
progress.apply_async(task_id='py-progress')
saved = group([same.s(1), same.s(2)]).apply_async()
saved.save()
say(saved.as_tuple())
`);
    const [sum, failed, two, again, progress] = await Promise.all(waits);
    t.match(sum, { status: 'SUCCESS', result: 5, task_id: 'py-sum', name: 'tasks.add', args: [2, 3], traceback: null });
    t.match(sum?.date_done, /^\d{4}-\d\d-\d\dT/);
    const error = new RemoteTaskError(failed!);
    t.match(error, { message: 'card refused', remoteName: 'PaymentError', remoteModule: 'tasks', state: 'FAILURE' });
    t.match(error.remoteTraceback, /Traceback[\s\S]*PaymentError: card refused/);
    t.strictSame(new RemoteTaskError(two!).remoteArguments, ['boom', 3]);
    t.match(again, { status: 'SUCCESS', result: 'done' });
    t.match(progress, { status: 'SUCCESS', result: 'end' });
    const saved = (await script.next()) as ResultTuple;
    t.strictSame(await backend.groups.restoreGroup(saved[0][0]), saved);
    await script.rest();
  });

  t.test('Python restores and deletes the group that we saved', async (t) => {
    const { celery, backend } = await mixed(t);
    const group: ResultTuple = [
      ['our-group', null],
      [
        [['m1', null], null],
        [['m2', null], null],
      ],
    ];
    await backend.groups.saveGroup('our-group', group);
    await backend.store(record('m1', 'SUCCESS', 1));
    await backend.store(record('m2', 'SUCCESS', 2));
    const said = await celery
      .script(`
restored = app.GroupResult.restore('our-group')
say([restored.as_tuple(), restored.get(timeout=10)])
restored.delete()
`)
      .rest();
    t.strictSame(said, [[group, [1, 2]]]);
    t.equal(await backend.groups.restoreGroup('our-group'), null);
  });

  t.test('global_keyprefix of the results', async (t) => {
    const { server, backend } = await mixed(t, { globalKeyPrefix: 'app1:' });
    // Celery 5.2 has no such option; the keys it would use are those of 5.5.
    await backend.store(record('prefixed', 'SUCCESS', 1));
    t.equal(server.cli('KEYS', '*prefixed'), 'app1:celery-task-meta-prefixed');
  });

  for (const chordOrdered of [true, false]) {
    const skip = pythonCannotWaitForChords();
    t.test(`a Python chord whose parts run here, its body in Python (${chordOrdered ? 'ordered' : 'list'})`, { skip }, async (t) => {
      const place = await mixed(t, { chordOrdered });
      const { celery, server } = place;
      await celery.worker(['celery']);
      await runParts(place);
      const script = celery.script(`
ours = lambda sig: sig.set(queue='ours')
say(chord([ours(add.s(n, n)) for n in range(20)])(same.s()).get(timeout=${waitMs / 1000}))
say(chord([ours(add.s(1, 1)), add.s(2, 2), ours(add.s(3, 3)), add.s(4, 4)])(xsum.s()).get(timeout=${waitMs / 1000}))
say(chord(group(ours(add.s(1, 1)), group(add.s(2, 2), ours(add.s(3, 3)))))(xsum.s()).get(timeout=${waitMs / 1000}))
for first, second in ((ours, lambda sig: sig), (ours, ours), (lambda sig: sig, ours)):
    body = chord([first(fail.s('boom')), second(add.s(1, 1))])(xsum.s())
    try:
        body.get(timeout=${waitMs / 1000})
    except Exception as exc:
        say([type(exc).__name__, str(exc)])
    say(body.id)
`);
      const twenty = (await script.next()) as number[];
      if (!chordOrdered) twenty.sort((a, b) => a - b);
      t.strictSame(
        twenty,
        Array.from({ length: 20 }, (_, n) => 2 * n),
      );
      t.equal(await script.next(), 20, 'parts on both sides');
      t.equal(await script.next(), 12);
      const bodies: unknown[] = [];
      for (let round = 0; round < 3; round++) {
        t.strictSame(await script.next(), ['PaymentError', 'boom'], 'the part that failed, as Celery looks at parts first');
        bodies.push(await script.next());
      }
      await script.rest();
      // In another process: this one's handles stand in the way of a second look at the same id.
      const again = celery.script(`
for id in ${JSON.stringify(bodies)}:
    try:
        app.AsyncResult(id).get(timeout=${waitMs / 1000})
    except Exception as exc:
        say([type(exc).__name__, type(exc).__module__, str(exc)])
`);
      for (const found of await again.rest())
        t.match(found, ['ChordError', 'celery.exceptions', /^Dependency [\w-]+ raised PaymentError\('boom'\)$/]);
      const left = server.cli('KEYS', 'celery-taskset-meta-*.j').split('\n');
      t.equal(left.length, 3, 'only the chords that failed left something');
    });
  }

  t.test('a chord that Python waits for, whose parts are delivered twice', { skip: pythonCannotWaitForChords() }, async (t) => {
    const place = await mixed(t);
    const { celery, backend, broker } = place;
    const worker = await celery.worker(['celery']);
    const inbox = await openInbox(broker, ['ours']);
    const script = celery.script(`
result = chord([add.s(n, n).set(queue='ours') for n in range(4)])(same.s())
say(result.get(timeout=${waitMs / 1000}))
`);
    const deliveries = await inbox.deliveries.take(4);
    // Every part but the last two, each three times; then those, each twice. Only one outcome publishes the body.
    let bodies = 0;
    for (const delivery of [...deliveries.slice(0, 2), ...deliveries, ...deliveries.slice(0, 3)]) {
      if ((await runPart(place, delivery)).kind === 'complete') bodies += 1;
    }
    for (const delivery of deliveries) t.equal(await inbox.subscription.ack(delivery), 'done');
    t.equal(bodies, 1);
    t.strictSame(await script.rest(), [[0, 2, 4, 6]]);
    await ended(worker, 'SIGTERM');
    t.equal(await broker.countReady('celery'), 0, 'no second body was left over');
    t.equal(backend.waiters, 0);
  });
});

/** Runs what is in the queue 'ours', as a worker would: body and acknowledgement after the outcome. */
async function runParts(place: Mixed): Promise<void> {
  const { broker } = place;
  const subscription = await broker.consume({
    queues: ['ours'],
    prefetch: 0,
    onDelivery: (delivery) => {
      void runPart(place, delivery).then(() => subscription.ack(delivery));
    },
    onLost: () => {},
    onHeld: () => {},
  });
}

/** tasks.add and tasks.fail, in JavaScript, with everything a worker does about a chord. */
async function runPart({ backend, broker }: Mixed, delivery: Delivery): Promise<ChordOutcome> {
  const receipt = readReceipt(delivery);
  if (receipt.kind !== 'task') throw new Error(`no task: ${receipt.kind}`);
  const { header } = receipt;
  const { args, chord } = readContent(delivery, header.protocol);
  const body = chord as { readonly task: string; readonly options: { readonly task_id: string }; readonly chord_size?: number };
  const groupId = header.group ?? '';
  const failed = header.task === 'tasks.fail';
  const value = failed
    ? { exc_type: 'PaymentError', exc_message: args, exc_module: 'umbel:js' }
    : args.reduce<number>((sum, one) => sum + Number(one), 0);
  const outcome = await backend.groups.storeChordPart(record(header.id, failed ? 'FAILURE' : 'SUCCESS', value, { groupId }), {
    groupId,
    groupIndex: header.groupIndex,
    chordSize: body.chord_size ?? null,
    ignoreResult: false,
  });
  switch (outcome.kind) {
    case 'counted':
      break;
    case 'failed':
      await backend.store({ ...record(body.options.task_id, 'FAILURE', outcome.exception), traceback: outcome.traceback });
      break;
    case 'complete': {
      const message = encodeTask({
        task: body.task,
        id: body.options.task_id,
        args: [JSON.parse(outcome.resultsJson)],
        kwargs: {},
        origin: 'test',
        rootId: header.rootId,
        parentId: header.id,
      });
      await broker.publish(message, { exchange: '', routingKey: 'celery' });
      await backend.groups.endChord(groupId);
      break;
    }
  }
  return outcome;
}
