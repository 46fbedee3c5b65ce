/** The consumer on the memory broker, with a pool the test plays: bad messages, prefetch, pauses, lost deliveries, the end. */
import t from 'tap';
import type { Delivery } from '../../src/broker/broker.ts';
import { Consumer } from '../../src/consumer/consumer.ts';
import { Settler } from '../../src/consumer/settle.ts';
import { UmbelError } from '../../src/errors.ts';
import type { RunMeta } from '../../src/ipc/exchange.ts';
import { Producer } from '../../src/producer/producer.ts';
import { parseJson } from '../../src/protocol/json.ts';
import type { Message } from '../../src/protocol/message.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { Bench, type BenchOptions, WatchedBroker } from './consumer-bench.ts';
import { FakePool, queueTable, setAside, settled, taskOffer } from './doubles.ts';

const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
const bodyOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

// ---------------------------------------------------------------- messages.md §7, row by row

interface BadRow {
  readonly title: string;
  readonly message: Partial<Message>;
  readonly settlement: 'ack' | 'drop';
  readonly level: string;
  readonly text: RegExp;
  /** The stored document; null: none. */
  readonly stored: { readonly id: string; readonly document: unknown } | null;
}

const headers = { task: 'tasks.add', id: 'bad' };

const badRows: readonly BadRow[] = [
  {
    title: 'headers null',
    message: { headers: null, body: bodyOf({ task: 'tasks.add', id: 'bad' }) },
    settlement: 'drop',
    level: 'warning',
    text: /^Received and deleted unknown message. {2}Wrong destination\?!\?/,
    stored: null,
  },
  {
    title: 'no task header, body without task',
    message: { headers: {}, body: bodyOf({ hello: 1 }) },
    settlement: 'drop',
    level: 'warning',
    text: /Wrong destination.*hello/s,
    stored: null,
  },
  {
    title: 'unknown task name',
    message: { headers: { ...headers, task: 'tasks.sub' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received unregistered task of type 'tasks.sub'/,
    stored: { id: 'bad', document: { status: 'FAILURE', result: { exc_type: 'NotRegistered', exc_message: ['tasks.sub'] } } },
  },
  {
    title: 'eta invalid',
    message: { headers: { ...headers, eta: 'soon' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: invalid ETA value 'soon'/,
    stored: null,
  },
  {
    title: 'expires invalid',
    message: { headers: { ...headers, expires: 'soon' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: invalid expires value 'soon'/,
    stored: null,
  },
  {
    title: 'content type not accepted',
    message: { headers, properties: { ...json, contentType: 'application/x-python-serialize' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: Refusing to deserialize untrusted content of type pickle \(application\/x-python-serialize\)/,
    stored: null,
  },
  {
    title: 'body undecodable (protocol 1)',
    message: { headers: {}, body: Buffer.from('{"task": "tasks.add"') },
    settlement: 'ack',
    level: 'critical',
    text: /^Can't decode message body: /,
    stored: null,
  },
  {
    title: 'decompression fails (protocol 1)',
    message: { headers: { compression: 'application/x-gzip' }, body: bodyOf({ task: 'tasks.add', id: 'bad' }) },
    settlement: 'ack',
    level: 'critical',
    text: /^Can't decode message body: /,
    stored: null,
  },
  {
    title: 'protocol 1, kwargs not an object',
    message: { headers: {}, body: bodyOf({ task: 'tasks.add', id: 'bad', kwargs: [1] }) },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: Task keyword arguments must be a mapping/,
    stored: null,
  },
  {
    title: 'poison: no id',
    message: { headers: { task: 'tasks.add' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: the task id must be/,
    stored: null,
  },
  {
    title: 'poison: empty content type',
    message: { headers, properties: { ...json, contentType: '' } },
    settlement: 'drop',
    level: 'error',
    text: /^Received invalid task message: the content type must not be empty/,
    stored: null,
  },
  {
    title: 'expired',
    message: { headers: { ...headers, expires: '2020-01-01T00:00:00+00:00' } },
    settlement: 'ack',
    level: 'info',
    text: /^Discarding revoked task: tasks\.add\[bad\]/,
    stored: { id: 'bad', document: { status: 'REVOKED', result: { exc_type: 'TaskRevokedError', exc_message: ['expired'] } } },
  },
];

for (const row of badRows) {
  t.test(`bad message: ${row.title}`, async (t) => {
    const bench = await Bench.started(t);
    await bench.send({ properties: json, headers: {}, body: bodyOf([[], {}, {}]), ...row.message });
    t.same(bench.broker.settlements, [row.settlement]);
    t.match(bench.log.lines.at(-1), { level: row.level, message: row.text });
    t.equal(bench.pool.jobs.length, 0, 'no child sees it');
    if (row.stored === null) t.equal(await bench.backend.get('bad'), null);
    else t.match(await bench.backend.get(row.stored.id), row.stored.document);
    // And the worker goes on.
    await bench.send(bench.message());
    t.equal(bench.pool.jobs.length, 1);
    t.equal(bench.consumer.received, 2);
  });
}

t.test('headers with integers of any size, as Python writes them, reach the child unchanged', async (t) => {
  const bench = await Bench.started(t);
  const trace = 2n ** 64n - 1n;
  await bench.send({ properties: json, headers: { ...headers, trace }, body: bodyOf([[], {}, {}]) });
  t.equal(bench.pool.jobs.length, 1);
  t.match(bench.pool.jobs[0]?.meta, `"trace":${trace}`);
  t.match((parseJson(bench.pool.jobs[0]!.meta) as RunMeta).headers, { trace });
});

t.test('headers that cannot be handed to a child are a bad message and not the end of the worker', async (t) => {
  const bench = await Bench.started(t);
  let deep: unknown = 1;
  for (let level = 0; level < 2000; level += 1) deep = [deep];
  await bench.send({ properties: json, headers: { ...headers, deep }, body: bodyOf([[], {}, {}]) });
  t.same(bench.broker.settlements, ['drop']);
  t.match(bench.log.lines.at(-1), { level: 'error', event: 'message.invalid', message: /nested/ });
  await bench.send(bench.message());
  t.equal(bench.pool.jobs.length, 1, 'and the worker goes on');
});

t.test('bad messages give their place in the prefetch back', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 1 });
  const bad = (): Message => ({ properties: json, headers: { task: 'tasks.none', id: 'x' }, body: bodyOf([[], {}, {}]) });
  await bench.send(bad(), bad(), bad(), bad(), bench.message());
  await bench.pool.holding(1);
  t.equal(bench.broker.settlements.length, 4);
});

t.test('also when their result cannot be stored', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 1 });
  bench.backend.store = () => Promise.reject(new UmbelError('BACKEND_UNAVAILABLE', 'the backend is broken'));
  await bench.send({ properties: json, headers: { task: 'tasks.none', id: 'x' }, body: bodyOf([[], {}, {}]) }, bench.message());
  await bench.pool.holding(1);
  t.same(bench.broker.settlements, ['drop']);
  t.ok(bench.log.lines.some(({ message }) => /the backend is broken/.test(message)));
});

// ---------------------------------------------------------------- good messages

t.test('a job carries what the child needs', async (t) => {
  const bench = await Bench.started(t);
  const message = bench.message({ priority: 3, headers: { mine: 'yes' } });
  await bench.send(message);
  const [job] = await bench.pool.holding(1);
  t.match(job, { taskName: 'tasks.add', taskId: 'task-1', body: message.body });
  const meta = JSON.parse(job!.meta) as RunMeta;
  t.match(meta, {
    headers: { task: 'tasks.add', mine: 'yes' },
    properties: { contentType: 'application/json', priority: 3 },
    deliveryInfo: { exchange: '', routing_key: 'celery', priority: 3, redelivered: false },
  });
  t.match(bench.log.lines.at(-1), { level: 'info', event: 'task.received', message: 'Task tasks.add[task-1] received' });
});

t.test('active is what runs: not what has ended, also while its end cannot be recorded', async (t) => {
  const bench = await Bench.started(t);
  await bench.sendMany(3);
  const [ends, runs] = await bench.pool.holding(3);
  bench.pool.startJob(ends!);
  bench.pool.startJob(runs!);
  const active = (): string[] => bench.consumer.active.map(({ header }) => header.id);
  t.same(active(), ['task-1', 'task-2']);
  const stored = Promise.withResolvers<void>();
  bench.backend.store = () => stored.promise;
  bench.pool.succeed(ends!);
  await settled();
  t.same(active(), ['task-2'], 'it has ended');
  const held = (): string[] => [...bench.consumer.held].map(({ request }) => `${request.header.id} ${request.state}`);
  t.same(held(), ['task-1 active', 'task-2 active', 'task-3 reserved'], 'and is held until that is stored');
  stored.resolve();
  await bench.settler.idle();
  t.same(held(), ['task-2 active', 'task-3 reserved']);
});

t.test('job ids are different', async (t) => {
  const bench = await Bench.started(t);
  await bench.sendMany(8);
  t.equal(new Set((await bench.pool.holding(8)).map(({ id }) => id)).size, 8);
});

t.test('done: acknowledged, stored, the next one taken', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 1 });
  await bench.sendMany(2);
  t.equal(bench.pool.jobs.length, 1);
  bench.pool.succeed(bench.pool.jobs[0]!);
  await bench.settler.idle();
  await settled();
  t.match(bench.pool.jobs, [{ taskId: 'task-2' }]);
  t.match(await bench.backend.get('task-1'), { status: 'SUCCESS' });
});

t.test('put back by the settling code, it comes again marked', async (t) => {
  const bench = await Bench.started(t, { offers: [taskOffer('tasks.add', { acksLate: true, rejectOnWorkerLost: true })] });
  await bench.sendMany(1);
  const [job] = bench.pool.jobs.splice(0);
  job!.listener.onStarted(job!, 1, 1);
  job!.listener.onWorkerLost(job!, { pid: 1, index: 1, exitCode: 1, signal: null });
  await bench.settler.idle();
  const [again] = await bench.pool.holding(1);
  t.match(JSON.parse(again!.meta), { deliveryInfo: { redelivered: true } });
  t.equal(again!.taskId, job!.taskId);
});

t.test('not due yet: back to the broker, held by nobody, and run in time', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, prefetchMultiplier: 1 });
  // A broker without delays delivers it at once; so does this publish, which names no time.
  await bench.send(bench.message({ etaMs: bench.clock.now() + 60_000 }), bench.message());
  t.same(bench.broker.settlements, ['defer']);
  t.match(await bench.pool.holding(1), [{ taskId: 'task-2' }], 'it takes no place in the prefetch');
  bench.pool.succeed(bench.pool.jobs[0]!);
  await bench.settler.idle();
  bench.clock.advance(61_000);
  t.match(await bench.pool.holding(1), [{ taskId: 'task-1' }]);
  t.match(JSON.parse(bench.pool.jobs[0]!.meta), { deliveryInfo: { redelivered: false } });
});

t.test('revoked', async (t) => {
  const bench = await Bench.started(t);
  bench.revoked.add('task-1');
  await bench.sendMany(1);
  t.same(bench.broker.settlements, ['ack']);
  t.match(await bench.backend.get('task-1'), { status: 'REVOKED', result: { exc_message: ['revoked'] } });
  t.equal(bench.pool.jobs.length, 0);
});

t.test('the time limits of a message, and its shadow, go with its job', async (t) => {
  const bench = await Bench.started(t);
  await bench.send(
    bench.message({ hardTimeLimitSeconds: 5, shadow: 'other name' }),
    bench.message({ softTimeLimitSeconds: 5 }),
    bench.message(),
  );
  const [hard, soft, none] = await bench.pool.holding(3);
  t.strictSame(
    [hard, soft, none].map((job) => job?.timeLimit),
    [{ hardSeconds: 5, softSeconds: null }, { hardSeconds: null, softSeconds: 5 }, null],
  );
  t.match(hard?.label, /^other name\[/);
  t.match(none?.label, /^tasks\./);
});

// ---------------------------------------------------------------- prefetch

t.test('prefetch: concurrency × slots × multiplier, and no more is held', async (t) => {
  const cases: readonly (readonly [BenchOptions, number])[] = [
    [{ poolSize: 2 }, 8],
    [{ poolSize: 3, prefetchMultiplier: 1 }, 3],
    [{ poolSize: 2, childConcurrency: 5, prefetchMultiplier: 2 }, 20],
    [{ poolSize: 1, prefetchMultiplier: 1 }, 1],
  ];
  for (const [options, prefetch] of cases) {
    const bench = await Bench.started(t, options);
    t.equal(bench.broker.consumed?.prefetch, prefetch);
    t.equal(bench.consumer.prefetch, prefetch);
    await bench.sendMany(prefetch + 5);
    t.equal(bench.pool.jobs.length, prefetch);
    t.equal(await bench.ready(), 5);
  }
});

t.test('multiplier 0: as many as there are', async (t) => {
  const bench = await Bench.started(t, { prefetchMultiplier: 0 });
  t.equal(bench.broker.consumed?.prefetch, 0);
  await bench.sendMany(500);
  t.equal(bench.pool.jobs.length, 500);
  bench.pool.grow(1);
  await bench.consumer.poolResized();
  t.equal(bench.consumer.prefetch, 0);
});

t.test('the prefetch follows the pool', async (t) => {
  const bench = await Bench.started(t, { poolSize: 2 });
  await bench.sendMany(30);
  t.equal(bench.pool.jobs.length, 8);
  bench.pool.grow(2);
  bench.consumer.poolResized();
  t.equal(bench.consumer.prefetch, 16);
  await settled();
  t.equal(bench.pool.jobs.length, 16);
  bench.pool.shrink(3);
  bench.consumer.poolResized();
  t.equal(bench.consumer.prefetch, 4);
  for (const job of bench.pool.jobs.slice(0, 12)) bench.pool.succeed(job);
  await bench.settler.idle();
  await settled();
  t.equal(bench.pool.jobs.length, 4, 'nothing new until it is below the new count');
  bench.pool.succeed(bench.pool.jobs[0]!);
  await bench.settler.idle();
  await settled();
  t.equal(bench.pool.jobs.length, 4);
});

t.test('adaptive: more while tasks prove short, less again when they do not', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, adaptivePrefetch: true });
  t.equal(bench.consumer.prefetch, 4);
  bench.pool.reserve = 50;
  await bench.sendMany(400);
  const done = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      bench.pool.succeed((await bench.pool.holding(1))[0]!);
      await bench.settler.idle();
    }
    await settled();
  };
  await done(64);
  t.equal(bench.consumer.prefetch, 50);
  t.equal(bench.pool.jobs.length, 50);
  bench.pool.reserve = 2;
  await done(64);
  t.equal(bench.consumer.prefetch, 4, 'never below the multiplier');
});

t.test('a pool that changes its size while consuming is begun: the prefetch is that of then', async (t) => {
  const bench = await Bench.create(t, { poolSize: 1 });
  const started = bench.consumer.start();
  bench.pool.grow(2);
  bench.consumer.poolResized();
  await started;
  t.equal(bench.consumer.prefetch, 12);
  await bench.sendMany(20);
  t.equal(bench.pool.jobs.length, 12);
});

t.test('adaptive: what was worth holding of short tasks is not when none of them ends any more', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1, adaptivePrefetch: true });
  Object.assign(bench.broker.subscription!, { roundTripMs: 7 });
  const idle = bench.clock.pending;
  bench.pool.reserve = 50;
  bench.consumer.poolResized();
  t.equal(bench.consumer.prefetch, 50);
  t.equal(bench.pool.roundTripMs, 7, 'it depends on how far the broker is');
  bench.clock.advance(999);
  bench.pool.reserve = 20;
  t.equal(bench.consumer.prefetch, 50);
  bench.clock.advance(1);
  t.equal(bench.consumer.prefetch, 20, 'looked at again after a second, though nothing was settled');
  bench.pool.reserve = 0;
  bench.clock.advance(1000);
  t.equal(bench.consumer.prefetch, 4);
  t.equal(bench.clock.pending, idle, 'and no more from then on');
  bench.pool.reserve = 50;
  bench.consumer.poolResized();
  await bench.consumer.stop();
  t.equal(bench.clock.pending, idle, 'nor after its end');
});

t.test('not adaptive: what the multiplier says', async (t) => {
  const bench = await Bench.started(t, { poolSize: 1 });
  bench.pool.reserve = 50;
  await bench.sendMany(200);
  for (let index = 0; index < 130; index += 1) {
    bench.pool.succeed((await bench.pool.holding(1))[0]!);
    await bench.settler.idle();
  }
  t.equal(bench.consumer.prefetch, 4);
});

// ---------------------------------------------------------------- pause, loss, end

t.test('paused, nothing is taken; resumed, it goes on', async (t) => {
  const bench = await Bench.started(t);
  bench.consumer.pause();
  await bench.sendMany(3);
  t.equal(bench.pool.jobs.length, 0);
  bench.consumer.resume();
  t.equal((await bench.pool.holding(3)).length, 3);
});

t.test('all queues are declared and consumed from', async (t) => {
  const bench = await Bench.started(t, { queues: ['a', 'b'] });
  await bench.broker.publish(bench.message(), { exchange: '', routingKey: 'b' });
  await bench.broker.publish(bench.message(), { exchange: 'a', routingKey: 'a' });
  t.same((await bench.pool.holding(2)).map(({ taskId }) => taskId).sort(), ['task-1', 'task-2']);
});

t.test('deliveries the broker takes away: not started here, and aborted where they run', async (t) => {
  const bench = await Bench.started(t);
  await bench.sendMany(4);
  const [running, waiting, kept] = [...(await bench.pool.holding(4))];
  bench.pool.startJob(running!);
  const deliveries = new Map(bench.consumer.active.map(({ delivery, header }) => [header.id, delivery]));
  t.same([...deliveries.keys()], ['task-1'], 'one is active');
  const gone = [deliveries.get('task-1')!, requestOf(waiting!.listener).delivery];
  bench.broker.consumed?.onLost(gone);
  t.same(
    bench.pool.aborted.map(({ taskId }) => taskId),
    ['task-1', 'task-2'],
  );
  t.same(
    bench.pool.jobs.map(({ taskId }) => taskId),
    ['task-1', 'task-3', 'task-4'],
    'the one that had not started came back',
  );
  t.match(
    bench.log.lines.filter(({ event }) => event === 'task.lost').map(({ message }) => message),
    [/its run here will not count/, /it is not started here/],
  );
  bench.broker.settlements.length = 0;
  running!.listener.onSucceeded(running!, 1, null, '3');
  await bench.settler.idle();
  t.same(bench.broker.settlements, [], 'its end is not acknowledged');
  t.equal(await bench.backend.get('task-1'), null, 'and not stored');
  bench.pool.succeed(kept!);
  await bench.settler.idle();
  t.same(bench.broker.settlements, ['ack'], 'the others are as before');
});

t.test('the pool learns that what it holds is certain again, and may ask for how long', async (t) => {
  const bench = await Bench.started(t);
  t.equal(bench.consumer.heldUntilMs, Number.POSITIVE_INFINITY, 'as the subscription says');
  bench.broker.consumed?.onHeld();
  t.equal(bench.pool.timesHeld, 1);
  await bench.consumer.stop();
  t.equal(bench.consumer.heldUntilMs, Number.NEGATIVE_INFINITY, 'without one nothing is');
});

t.test('lost deliveries nobody here knows are passed over', async (t) => {
  const bench = await Bench.started(t);
  bench.broker.consumed?.onLost([{ tag: 99 } as unknown as Delivery]);
  await bench.sendMany(1);
  t.equal(bench.pool.jobs.length, 1);
});

t.test('quiet: nothing new, what has not started comes back, what runs is finished; stop gives the rest to the broker', async (t) => {
  const bench = await Bench.started(t);
  await bench.sendMany(5);
  const [running] = await bench.pool.holding(5);
  bench.pool.startJob(running!);
  await bench.consumer.quiet();
  t.same(bench.pool.jobs, [running]);
  await bench.sendMany(1);
  t.equal(bench.pool.jobs.length, 1, 'nothing new');
  t.same(bench.broker.settlements, [], 'the messages are still held');
  t.equal(await bench.ready(), 1);
  running!.listener.onSucceeded(running!, 1, null, '3');
  await bench.settler.idle();
  t.same(bench.broker.settlements, ['ack'], 'a running task is acknowledged also now');
  await bench.consumer.stop();
  t.equal(await bench.ready(), 5, 'four come back');
  await bench.consumer.stop();
});

t.test('stop does not wait for a broker that is away', async (t) => {
  const bench = await Bench.started(t);
  await bench.sendMany(2);
  const released = Promise.withResolvers<void>();
  Object.assign(bench.broker.subscription!, { release: () => released.promise });
  Object.defineProperty(bench.broker, 'state', { configurable: true, get: () => 'lost' });
  await bench.consumer.stop();
  // What comes of it in the end interests nobody, also when it fails.
  released.reject(new UmbelError('BROKER_UNAVAILABLE', 'closed'));
  await settled();
  Reflect.deleteProperty(bench.broker, 'state');
  Reflect.deleteProperty(bench.broker.subscription!, 'release');
});

t.test('stop before start', async () => {
  const broker = new WatchedBroker();
  const pool = new FakePool(1, []);
  const log = new RecordingLog();
  const producer = new Producer({ broker, queues: queueTable() });
  const aside = setAside(broker, log);
  const settler = new Settler({
    broker,
    backend: null,
    producer,
    poison: aside.poison,
    nodeName: 'n',
    resultExtended: false,
    log,
    revoked: { add: () => {}, reason: () => '' },
    onSettled: () => {},
  });
  const consumer = new Consumer({
    broker,
    pool,
    settler,
    queues: [{ name: 'celery' }],
    childConcurrency: 1,
    prefetchMultiplier: 1,
    adaptivePrefetch: false,
    acceptContent: ['json'],
    cancelOnConnectionLoss: false,
    isRevoked: () => false,
    suspicion: { crashes: () => 0, notBeforeMs: () => 0 },
    unknownTasks: aside.unknownTasks(() => settler),
    log,
  });
  await consumer.quiet();
  await consumer.stop();
});

function requestOf(listener: unknown): { readonly delivery: Delivery } {
  return listener as { readonly delivery: Delivery };
}
