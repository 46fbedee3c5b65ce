/** A message that ends child after child, and messages of tasks nobody knows: on the memory broker, with a pool that the test plays. */
import t from 'tap';
import { DeadLetters } from '../../src/broker/dead-letters.ts';
import { CrashNotices } from '../../src/consumer/crash-notices.ts';
import type { ChildExit } from '../../src/pool/job.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { Bench, type BenchOptions } from './consumer-bench.ts';
import { RefusingBroker, settled, taskOffer } from './doubles.ts';

const poisonous = taskOffer('tasks.add', { acksLate: true, rejectOnWorkerLost: true });
const exit: ChildExit = {
  pid: 4711,
  index: 2,
  exitCode: null,
  signal: 'SIGKILL',
  because: 'It held too much.',
  peakRssBytes: 5000,
  stack: 'at f',
};
const said = 'Worker exited prematurely: signal 9 (SIGKILL) Job: 3. It held too much.';

async function started(t: Parameters<typeof Bench.started>[0], more: BenchOptions = {}) {
  const bench = await Bench.started(t, { offers: [poisonous], ...more });
  const letters = new DeadLetters({ broker: bench.broker, queue: 'umbel.dead', clock: new FakeClock() });
  const crash = async (): Promise<Record<string, unknown>> => {
    const [job] = await bench.pool.holding(1);
    bench.pool.startJob(job!);
    bench.pool.lose(job!, exit);
    for (let turn = 0; turn < 6; turn += 1) await settled();
    return JSON.parse(job!.meta === '' ? '{}' : job!.meta) as Record<string, unknown>;
  };
  return { ...bench, bench, letters, crash };
}

t.test('three children and no more: FAILURE with the reason, and the message aside', async (t) => {
  const { bench, crash, letters, backend } = await started(t);
  await bench.send(bench.message({ id: 'bad' }));
  await crash();
  t.match(await crash(), { headers: { umbel_crashes: 1 }, deliveryInfo: { redelivered: true } });
  t.equal(await backend.get('bad'), null, 'no result yet');
  const marks = bench.broker.delivered.map(({ redelivered }) => redelivered);
  t.strictSame(marks, [false, true, true], 'copies are marked as delivered before, for workers that know nothing of the count');
  t.equal(bench.pool.jobs.length, 0, 'after the second it waits');
  bench.clock.advance(3999);
  await settled();
  t.equal(bench.pool.jobs.length, 0);
  bench.clock.advance(1);
  await crash();
  t.equal(bench.pool.jobs.length, 0, 'it does not come again');
  t.equal(await bench.ready(), 0);
  t.match(await backend.get('bad'), {
    status: 'FAILURE',
    result: { exc_type: 'WorkerLostError', exc_message: [`${said} It has ended 3 children (worker.max_crashes) and is put aside.`] },
  });
  t.match(await letters.visit(() => 'keep'), [
    {
      letter: {
        id: 'bad',
        task: 'tasks.add',
        cause: {
          reason: 'crashed',
          text: said,
          signal: 'SIGKILL',
          exitCode: null,
          peakRssBytes: 5000,
          stack: 'at f',
          crashes: 3,
          worker: 'worker@test',
          queue: 'celery',
        },
      },
    },
  ]);
  t.match(await bench.log.event('task.dead'), { level: 'error', message: /^Task tasks\.add\[bad\] is put aside in umbel\.dead/ });
  t.equal(bench.settler.counts.lost, 3);
});

t.test('the count is with the message: another worker goes on counting', async (t) => {
  const { bench, crash, letters } = await started(t);
  const message = bench.message({ id: 'bad' });
  await bench.send({ ...message, headers: { ...message.headers, umbel_crashes: 2 } });
  await crash();
  t.equal((await letters.visit(() => 'keep')).length, 1);
});

t.test('it waits longer after each crash, whichever worker gets it, and is known as what it is', async (t) => {
  const { bench, crash } = await started(t, { setAside: { maxCrashes: 9 } });
  await bench.send(bench.message());
  const suspects: boolean[] = [];
  for (const waitMs of [0, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    suspects.push((await bench.pool.holding(1))[0]!.suspect);
    await crash();
    if (waitMs === 0) continue;
    bench.clock.advance(waitMs - 1);
    await settled();
    t.equal(bench.pool.jobs.length, 0, `not before ${waitMs} ms`);
    bench.clock.advance(1);
    await settled();
  }
  t.strictSame(suspects, [false, true, true, true, true, true, true]);
  const message = bench.message();
  await bench.send({ ...message, headers: { ...message.headers, umbel_not_before: bench.clock.now() + 60_001 } });
  await bench.pool.holding(2);
});

t.test('where the count is told, so is the time', async (t) => {
  const told = new Map([['bad', { count: 2, notBeforeMs: 0 }]]);
  const notices = {
    crashesOf: (id: string) => told.get(id)?.count ?? 0,
    notBeforeMs: (id: string) => told.get(id)?.notBeforeMs ?? 0,
    tell: async (id: string, count: number, notBeforeMs: number) => void told.set(id, { count, notBeforeMs }),
    forget: (id: string) => void told.delete(id),
  };
  const { bench, crash } = await started(t, { setAside: { maxCrashes: 9, notices: notices as unknown as CrashNotices } });
  await bench.send(bench.message({ id: 'bad' }));
  t.equal((await bench.pool.holding(1))[0]?.suspect, true);
  await crash();
  t.strictSame(told.get('bad'), { count: 3, notBeforeMs: bench.clock.now() + 8000 });
  t.equal(bench.pool.jobs.length, 0);
  bench.clock.advance(8000);
  await bench.pool.holding(1);
  told.set('late', { count: 2, notBeforeMs: bench.clock.now() + 60_001 });
  await bench.send(bench.message({ id: 'late' }));
  await bench.pool.holding(2);
});

t.test('that nobody can be told is no reason to fail the task: the message goes back', async (t) => {
  const notices = new CrashNotices({ broker: new RefusingBroker(), log: new RecordingLog() });
  const { bench, crash, backend } = await started(t, { setAside: { notices } });
  await bench.send(bench.message({ id: 'bad' }));
  await crash();
  t.strictSame(bench.broker.settlements, ['requeue']);
  t.equal((await bench.pool.holding(1))[0]?.suspect, true, 'it runs again');
  t.equal(await backend.get('bad'), null);
});

t.test('a count nobody can have written counts as none', async (t) => {
  const { bench, crash, letters } = await started(t);
  const message = bench.message({ id: 'bad' });
  await bench.send({ ...message, headers: { ...message.headers, umbel_crashes: 'many' } });
  await crash();
  t.match(await crash(), { headers: { umbel_crashes: 1 } });
  t.same(await letters.visit(() => 'keep'), []);
});

t.test('as many as are allowed', async (t) => {
  const { bench, crash, letters } = await started(t, { setAside: { maxCrashes: 1 } });
  await bench.send(bench.message());
  await crash();
  t.match(await letters.visit(() => 'keep'), [{ letter: { cause: { crashes: 1 } } }]);
});

t.test('0: it goes round for ever, as with Celery', async (t) => {
  const { bench, crash, letters } = await started(t, { setAside: { maxCrashes: 0 } });
  await bench.send(bench.message());
  for (let time = 0; time < 5; time += 1) await crash();
  t.equal(bench.pool.jobs.length, 1);
  t.same(await letters.visit(() => 'keep'), []);
});

t.test('what is not put back is not counted: it fails at once', async (t) => {
  const { bench, crash, letters, backend } = await started(t, { offers: [taskOffer('tasks.add', { acksLate: true })] });
  await bench.send(bench.message({ id: 'bad' }));
  await crash();
  t.match(await backend.get('bad'), { status: 'FAILURE' });
  t.same(await letters.visit(() => 'keep'), []);
});

t.test('at a cold stop it is the worker that ends children: nothing is counted', async (t) => {
  const { bench, crash } = await started(t);
  await bench.send(bench.message());
  bench.settler.stopping();
  await crash();
  t.same(bench.broker.settlements, ['requeue']);
});

t.test('the count goes back with the message, in one step: nothing is published', async (t) => {
  const { bench, crash } = await started(t);
  await bench.send(bench.message());
  bench.broker.publish = () => Promise.reject(new Error('there must be no copy'));
  await crash();
  t.same(bench.broker.settlements, ['requeue']);
  t.match(await crash(), { headers: { umbel_crashes: 1 } });
});

t.test('a broker that does not take what is put aside keeps the message', async (t) => {
  const { bench, crash, letters } = await started(t, { setAside: { maxCrashes: 1 } });
  await bench.send(bench.message());
  const publish = bench.broker.publish.bind(bench.broker);
  const { UmbelError } = await import('../../src/errors.ts');
  bench.broker.publish = () => Promise.reject(new UmbelError('BROKER_LOST', 'gone'));
  await crash();
  bench.broker.publish = publish;
  t.same(bench.broker.settlements, ['requeue']);
  await crash();
  t.equal((await letters.visit(() => 'keep')).length, 1);
});

t.test('from a broadcast queue: counted by this worker, which alone gets it', async (t) => {
  const { bench, crash, letters } = await started(t, { setAside: { isBroadcast: () => true } });
  await bench.send(bench.message());
  await crash();
  await crash();
  t.same(bench.broker.settlements, ['requeue', 'requeue']);
  await crash();
  t.equal((await letters.visit(() => 'keep')).length, 1);
});

// ---------------------------------------------------------------- unknown tasks

const unknown = async (t: Parameters<typeof Bench.started>[0], options: BenchOptions['setAside']) => {
  const scene = await started(t, options === undefined ? {} : { setAside: options });
  const turns = async (ms: number): Promise<void> => {
    await scene.clock.advanceAsync(ms);
    for (let turn = 0; turn < 8; turn += 1) await settled();
  };
  await scene.bench.send(scene.bench.message({ task: 'tasks.new', id: 'new' }));
  await turns(0);
  return { ...scene, turns, told: () => scene.log.lines.filter(({ event }) => event === 'task.unregistered') };
};

const notRegistered = { status: 'FAILURE', result: { exc_type: 'NotRegistered', exc_message: ['tasks.new'] } };

t.test('reject: as Celery', async (t) => {
  const { broker, backend, told } = await unknown(t, undefined);
  t.same(broker.settlements, ['drop']);
  t.match(await backend.get('new'), notRegistered);
  t.match(told(), [{ level: 'error', message: /ignored and discarded/ }]);
});

t.test('dead: put aside, and NotRegistered for who waits', async (t) => {
  const { broker, backend, told, letters } = await unknown(t, { policy: 'dead' });
  t.same(broker.settlements, ['ack']);
  t.match(await backend.get('new'), notRegistered);
  t.match(told(), [{ level: 'error', message: /put aside in umbel\.dead/ }]);
  t.match(await letters.visit(() => 'keep'), [{ letter: { id: 'new', cause: { reason: 'unregistered', queue: 'celery', crashes: 0 } } }]);
});

t.test('discard: gone without a result', async (t) => {
  const { broker, backend, told } = await unknown(t, { policy: 'discard' });
  t.same(broker.settlements, ['ack']);
  t.equal(await backend.get('new'), null);
  t.match(told(), [{ level: 'warning' }]);
});

t.test('requeue: again after the delay, until a worker knows it', async (t) => {
  const { broker, backend, bench, told, turns, pool } = await unknown(t, { policy: 'requeue', delayMs: 5000, timeoutMs: 60_000 });
  t.same(broker.settlements, ['ack'], 'a copy waits');
  t.equal(await bench.ready(), 0);
  await turns(4900);
  t.equal(broker.delivered.length, 1, 'it is left alone until then');
  await turns(200);
  t.equal(broker.delivered.length, 2);
  pool.tasks = new Map([['tasks.new', taskOffer('tasks.new')]]);
  await bench.consumer.stop();
  await bench.consumer.start();
  await turns(5100);
  t.equal(pool.jobs.length, 1, 'now it runs');
  t.equal(told().length, 1, 'said once');
  t.equal(await backend.get('new'), null);
});

t.test('requeue: the time is over', async (t) => {
  const { broker, backend, letters, turns, told } = await unknown(t, { policy: 'requeue', delayMs: 5000, timeoutMs: 12_000 });
  for (let time = 0; time < 4; time += 1) await turns(5000);
  t.equal(broker.delivered.length, 4, 'at 0, 5, 10 and 12 seconds');
  t.match(await backend.get('new'), notRegistered);
  t.match(await letters.visit(() => 'keep'), [{ letter: { id: 'new', cause: { reason: 'unregistered' } } }]);
  t.same(
    told().map(({ level }) => level),
    ['warning', 'error'],
  );
});

t.test('requeue: a broker without delayed delivery gives it early, and it is deferred', async (t) => {
  const { broker, bench, clock } = await started(t, { setAside: { policy: 'requeue' } });
  const message = bench.message({ task: 'tasks.new' });
  const now = clock.now();
  await bench.send({ ...message, headers: { ...message.headers, umbel_unknown: `${now - 1000} ${now + 3000}` } });
  t.same(broker.settlements, ['defer']);
});

t.test('requeue: what cannot be sent goes back', async (t) => {
  const { broker, bench, log } = await started(t, { setAside: { policy: 'requeue' } });
  const publish = broker.publish.bind(broker);
  let sent = 0;
  broker.publish = (...given) => (sent++ === 1 ? Promise.reject(new Error('no')) : publish(...given));
  await bench.send(bench.message({ task: 'tasks.new' }));
  for (let turn = 0; turn < 8; turn += 1) await settled();
  t.same(broker.settlements, ['requeue', 'ack'], 'and is tried again');
  t.match(await log.event('message.settle-failed'), { message: /no/ });
});

t.test('requeue: nobody else gets what comes from a broadcast queue', async (t) => {
  const { broker } = await unknown(t, { policy: 'requeue', isBroadcast: () => true });
  t.same(broker.settlements, ['drop']);
});
