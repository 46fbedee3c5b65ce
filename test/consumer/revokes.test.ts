/** Revoking and terminating over the memory broker, with a pool the test plays: wherever the task is. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Revokes } from '../../src/consumer/revokes.ts';
import type { TaskOffer } from '../../src/ipc/exchange.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { StateDb } from '../../src/statedb/state-db.ts';
import { Bench as ConsumerBench } from './consumer-bench.ts';
import { settled, taskOffer } from './doubles.ts';

/** A consumer, and words for what happens to its tasks. */
class Bench {
  readonly #bench: ConsumerBench;

  private constructor(bench: ConsumerBench) {
    this.#bench = bench;
  }

  static async started(t: Test, offer: Partial<TaskOffer> = { acksLate: true }): Promise<Bench> {
    return new Bench(await ConsumerBench.started(t, { offers: [taskOffer('tasks.add', offer)] }));
  }

  get backend() {
    return this.#bench.backend;
  }

  get clock() {
    return this.#bench.clock;
  }

  get consumer() {
    return this.#bench.consumer;
  }

  get log() {
    return this.#bench.log;
  }

  get pool() {
    return this.#bench.pool;
  }

  get revokes() {
    return this.#bench.revokes;
  }

  get settler() {
    return this.#bench.settler;
  }

  get state() {
    return this.#bench.state;
  }

  get terminated() {
    return this.#bench.pool.terminated;
  }

  async send(id: string, more: Partial<OutgoingTask> = {}): Promise<void> {
    await this.#bench.send(encodeTask({ task: 'tasks.add', id, args: [1, 2], kwargs: {}, origin: 'gen1@test', ...more }, this.clock.now()));
    await this.quiet();
  }

  async quiet(): Promise<void> {
    for (let turn = 0; turn < 4; turn += 1) await settled();
  }

  job(id: string) {
    const job = this.pool.jobs.find(({ taskId }) => taskId === id);
    if (job === undefined) throw new Error(`the pool must have ${id}`);
    return job;
  }

  get inPool(): string[] {
    return this.pool.jobs.map(({ taskId }) => taskId);
  }

  said(event: string): string[] {
    return this.log.lines.filter((line) => line.event === event).map(({ message }) => message);
  }

  /** Everything there was is settled, in the broker too. */
  async allSettled(t: Test): Promise<void> {
    await this.quiet();
    t.strictSame([...this.consumer.held], []);
    t.equal(await this.#bench.ready(), 0);
  }
}

const discarded = { status: 'REVOKED', result: { exc_type: 'TaskRevokedError', exc_message: ['revoked'] } };
const data = { terminated: false, signum: null, expired: false };

t.test('queued: refused on receipt', async (t) => {
  const bench = await Bench.started(t);
  t.strictSame(bench.revokes.revoke(['a']), []);
  await bench.send('a');
  await bench.send('b');
  t.strictSame(bench.inPool, ['b']);
  t.match(await bench.backend.get('a'), discarded);
  t.match(await bench.log.event('task.revoked'), {
    level: 'info',
    message: 'Discarding revoked task: tasks.add[a]',
    fields: { taskId: 'a', ...data },
  });
  t.strictSame(bench.said('task.flagged'), ['Tasks flagged as revoked: a']);
  t.match(bench.said('task.received'), ['Task tasks.add[a] received', 'Task tasks.add[b] received']);
});

t.test('reserved: taken back and discarded at once, the others stay', async (t) => {
  const bench = await Bench.started(t);
  for (const id of ['a', 'b', 'c']) await bench.send(id);
  bench.revokes.revoke(['b', 'elsewhere']);
  t.strictSame(bench.inPool, ['a', 'c']);
  await bench.quiet();
  t.match(await bench.backend.get('b'), discarded);
  t.equal(await bench.backend.get('a'), null);
  t.equal(bench.settler.counts.revoked, 1);
  for (const id of ['a', 'c']) bench.pool.succeed(bench.job(id));
  await bench.allSettled(t);
});

t.test('running: goes on', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a');
  const job = bench.job('a');
  bench.pool.startJob(job);
  bench.revokes.revoke(['a']);
  t.strictSame(bench.terminated, []);
  bench.pool.succeed(job);
  await bench.quiet();
  t.match(await bench.backend.get('a'), { status: 'SUCCESS' });
});

t.test('scheduled: refused when it is due', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a', { etaMs: bench.clock.now() + 60_000 });
  bench.revokes.revoke(['a']);
  t.equal(await bench.backend.get('a'), null);
  await bench.clock.advanceAsync(60_000);
  await bench.quiet();
  t.match(await bench.backend.get('a'), discarded);
  t.strictSame(bench.inPool, []);
  await bench.allSettled(t);
});

t.test('ignored results: nothing is stored, unless errors are', async (t) => {
  const bench = await Bench.started(t, { ignoreResult: true });
  bench.revokes.revoke(['a']);
  await bench.send('a');
  t.equal(await bench.backend.get('a'), null);
  const storing = await Bench.started(t, { ignoreResult: true, storeErrorsEvenIfIgnored: true });
  storing.revokes.revoke(['a']);
  await storing.send('a');
  t.match(await storing.backend.get('a'), discarded);
});

t.test('it has begun before it could be taken back', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a');
  const job = bench.job('a');
  bench.pool.deaf = true;
  bench.revokes.revoke(['a']);
  t.ok(job.withdrawn);
  bench.pool.startJob(job);
  t.notOk(job.withdrawn, 'it counts as any other that runs');
  t.strictSame(bench.terminated, []);
  bench.pool.succeed(job);
  await bench.allSettled(t);
  t.match(await bench.backend.get('a'), { status: 'SUCCESS' });
});

t.test('to be terminated, and it begins before it could be taken back: then', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a');
  const job = bench.job('a');
  bench.pool.deaf = true;
  t.strictSame(bench.revokes.revoke(['a'], { terminate: true, signal: 'INT' }), ['a']);
  t.strictSame(bench.terminated, []);
  bench.pool.startJob(job);
  t.match(bench.terminated, [{ job: { taskId: 'a' }, signal: 'SIGINT' }]);
});

t.test('a lost message: not ours to settle, revoked or not', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a');
  const [held] = [...bench.consumer.held];
  bench.pool.deaf = true;
  bench.revokes.revoke(['a']);
  held!.request.lost = true;
  bench.pool.deaf = false;
  bench.pool.withdraw();
  await bench.quiet();
  t.equal(await bench.backend.get('a'), null);
  t.equal(bench.settler.counts.returned, 1);
});

const terminated = { status: 'REVOKED', result: { exc_type: 'TaskRevokedError', exc_message: ['terminated'] } };

const exit = { pid: 4711, index: 1, exitCode: null, signal: 'SIGTERM' } as const;

t.test('terminated while it runs: REVOKED, acknowledged, and who else ran there is put back or failed', async (t) => {
  for (const acksLate of [true, false]) {
    const bench = await Bench.started(t, { acksLate });
    for (const id of ['a', 'b']) await bench.send(id);
    const [job, other] = [bench.job('a'), bench.job('b')];
    for (const one of [job, other]) bench.pool.startJob(one);
    job.child = other.child = {} as NonNullable<typeof job.child>;
    t.strictSame(bench.revokes.revoke(['a', 'c'], { terminate: true }), ['a']);
    t.strictSame(bench.said('task.terminating'), ['Terminating a (15)']);
    t.strictSame(bench.said('task.flagged'), [], 'Celery says one or the other');
    t.match(bench.terminated, [{ signal: 'SIGTERM' }]);
    for (const one of [job, other])
      one.listener.onWorkerLost(one, { ...exit, killed: { job, outcome: { kind: 'terminated', signal: 'SIGTERM' } } });
    await bench.quiet();
    t.match(await bench.backend.get('a'), terminated);
    t.match(await bench.log.event('task.revoked'), {
      message: 'Task tasks.add[a] terminated (SIGTERM)',
      fields: { terminated: true, signum: 15, expired: false },
    });
    const otherResult = await bench.backend.get('b');
    if (acksLate) t.equal(otherResult, null, 'through no fault of its own: it is run again');
    else t.match(otherResult, { status: 'FAILURE', result: { exc_type: 'WorkerLostError' } });
    t.equal(bench.settler.counts.revoked, 1);
    t.equal(bench.settler.counts.lost, 1);
    bench.revokes.revoke(['a']);
    await bench.send('a');
    t.notOk(bench.inPool.includes('a') && bench.job('a') !== job, 'and it is not run again');
  }
});

t.test('terminated, and it ends by itself: with a result that is its result, with an error or a retry it is terminated', async (t) => {
  for (const kind of ['succeeded', 'failed', 'retried', 'ignored'] as const) {
    const bench = await Bench.started(t);
    await bench.send('a');
    const job = bench.job('a');
    bench.pool.startJob(job);
    bench.revokes.revoke(['a'], { terminate: true, signal: 10 });
    if (kind === 'succeeded') job.listener.onSucceeded(job, 1, null, '3');
    else job.listener.onEnded(job, 1, { kind, text: 'x', traceback: null }, 'null');
    await bench.quiet();
    const result = await bench.backend.get('a');
    if (kind === 'ignored') t.equal(result, null);
    else t.match(result, kind === 'succeeded' ? { status: 'SUCCESS' } : terminated, kind);
    t.equal(bench.said('task.retried').length, 0);
  }
});

t.test('what has ended and is being recorded is not terminated', async (t) => {
  const bench = await Bench.started(t);
  await bench.send('a');
  const job = bench.job('a');
  bench.pool.startJob(job);
  job.child = null;
  t.strictSame(bench.revokes.revoke(['a'], { terminate: true }), []);
  t.strictSame(bench.terminated, []);
});

t.test('by stamps: one value that both have is enough', async (t) => {
  const bench = await Bench.started(t);
  const stamped = (stamps: Record<string, unknown>, names = Object.keys(stamps)): Partial<OutgoingTask> => ({
    stampedHeaders: names,
    stamps,
  });
  await bench.send('held', stamped({ monitoring_id: 'm-1', other: 'x' }));
  await bench.send('other', stamped({ monitoring_id: 'm-2' }));
  t.strictSame(bench.revokes.revokeByStampedHeaders({ monitoring_id: ['m-1', 'm-9'], batch: 7 }), []);
  await bench.send('list', stamped({ monitoring_id: ['m-0', 'm-9'] }));
  await bench.send('number', stamped({ batch: 7 }));
  await bench.send('text', stamped({ batch: '7' }));
  await bench.send('unnamed', { stampedHeaders: ['other'], stamps: { monitoring_id: 'm-1' } });
  await bench.send('none', { stampedHeaders: ['monitoring_id'], stamps: {} });
  await bench.send('plain');
  t.strictSame(bench.inPool, ['other', 'text', 'unnamed', 'none', 'plain']);
  t.match(bench.said('task.revoked'), [
    "Discarding revoked task: tasks.add[held] (revoked by header: {'monitoring_id': 'm-1'})",
    "Discarding revoked task: tasks.add[list] (revoked by header: {'monitoring_id': 'm-9'})",
    "Discarding revoked task: tasks.add[number] (revoked by header: {'batch': 7})",
  ]);
  t.match(await bench.backend.get('held'), discarded);
  t.throws(() => bench.revokes.revokeByStampedHeaders({}), { code: 'REVOKE_INVALID' });
  t.throws(() => bench.revokes.revokeByStampedHeaders({ a: [] }), { code: 'REVOKE_INVALID' });
});

t.test('by stamps, terminating', async (t) => {
  const bench = await Bench.started(t);
  for (const id of ['a', 'b']) await bench.send(id, { stampedHeaders: ['m'], stamps: { m: id } });
  for (const id of ['a', 'b']) bench.pool.startJob(bench.job(id));
  t.strictSame(bench.revokes.revokeByStampedHeaders({ m: 'b' }, { terminate: true, signal: 'KILL' }), ['b']);
  t.match(bench.terminated, [{ job: { taskId: 'b' }, signal: 'SIGKILL' }]);
});

t.test('a signal that is none: refused, and nothing is revoked', async (t) => {
  const bench = await Bench.started(t);
  t.throws(() => bench.revokes.revoke(['a'], { terminate: true, signal: 'term' }), { code: 'REVOKE_INVALID' });
  t.throws(() => bench.revokes.revokeByStampedHeaders({ m: 'a' }, { terminate: true, signal: 99 }), { code: 'REVOKE_INVALID' });
  t.strictSame(bench.revokes.ids(), []);
  t.notOk(bench.state.hasRevokedStamps);
  bench.revokes.revoke(['a'], { signal: 'term' });
  t.strictSame(bench.revokes.ids(), ['a'], 'it is not looked at when nothing is terminated, as in Celery');
});

const helloOf = ({ revokes }: Bench): unknown => Object.fromEntries([...revokes.times()].map(([id, seconds]) => [id, [seconds, id]]));

t.test('neighbours: what each knows', async (t) => {
  const one = await Bench.started(t);
  const two = await Bench.started(t);
  one.clock.advance(50_000);
  two.clock.advance(50_000);
  one.revokes.revoke(['a']);
  one.clock.advance(20_000);
  two.clock.advance(20_000);
  await two.send('a');
  t.equal(two.revokes.learn(helloOf(one)), 1);
  t.strictSame([...one.revokes.times()], [['a', 50]]);
  t.strictSame([...two.revokes.times()], [['a', 50]], 'as old as it is there');
  t.strictSame(two.inPool, [], 'and what is held is taken back');
  await two.quiet();
  t.match(await two.backend.get('a'), discarded);
  t.equal(two.revokes.learn(helloOf(one)), 0, 'known');
  t.equal(two.revokes.learn({ future: [1e9, 'future'], past: [-90_000.5, 'past'], odd: 'x' }), 3, 'times of another machine');
  t.strictSame(Object.fromEntries(two.revokes.times()), { a: 50, future: 70, past: 70, odd: 70 });
  t.equal(two.revokes.learn(null), 0);
});

t.test('held back by a rate limit: taken back and discarded at once', async (t) => {
  const bench = await Bench.started(t);
  bench.consumer.rateLimits.setLimit('tasks.add', '1/h');
  for (const id of ['first', 'a', 'b']) await bench.send(id);
  t.strictSame(bench.inPool, ['first']);
  t.strictSame(bench.revokes.revoke(['a'], { terminate: true }), ['a']);
  await bench.quiet();
  t.match(await bench.backend.get('a'), discarded);
  t.equal(bench.consumer.rateLimits.waiting, 1);
  t.strictSame(bench.terminated, []);
});

t.test('a pool that cannot end a task: what runs goes on, and it is said; SIGUSR1 every pool can tell', async (t) => {
  const bench = await Bench.started(t);
  Object.assign(bench.pool, { features: { ...bench.pool.features, terminate: false } });
  for (const id of ['a', 'b', 'c']) await bench.send(id);
  for (const id of ['a', 'c']) bench.pool.startJob(bench.job(id));
  t.throws(() => bench.revokes.revoke(['a', 'b', 'c'], { terminate: true }), {
    code: 'NOT_SUPPORTED',
    message: /^terminating tasks\.add\[c\]/,
  });
  t.strictSame(bench.revokes.ids(), ['a', 'b', 'c'], 'all are revoked');
  t.strictSame(bench.inPool, ['a', 'c'], 'and what has not begun is taken back');
  t.strictSame(bench.terminated, []);
  await bench.quiet();
  t.strictSame(bench.revokes.revoke(['b', 'd'], { terminate: true }), [], 'none of these runs');
  t.strictSame(bench.revokes.revoke(['a'], { terminate: true, signal: 'SIGUSR1' }), ['a']);
  t.match(bench.terminated, [{ job: { taskId: 'a' }, signal: 'SIGUSR1' }]);
});

t.test('what was revoked is in the state file before anybody is told', async (t) => {
  const { log, consumer, pool } = await Bench.started(t);
  const path = join(t.testdir(), 'worker.state');
  const state = new StateDb({ path, log, lock: () => ({ lock: { release() {} } }) });
  await state.start();
  t.teardown(() => state.stop());
  const revokes = new Revokes({ state, consumer, pool, log });
  revokes.revoke(['by-id']);
  t.match(readFileSync(path, 'utf8'), '"by-id"');
  revokes.revokeByStampedHeaders({ customer: 'by-stamp' });
  t.match(readFileSync(path, 'utf8'), 'by-stamp');
});
