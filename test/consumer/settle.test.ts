/**
 * What is done when a task has ended, and in which order.
 *
 * The table is worker-behaviour.md §2, row by row; the order is proven by holding every step open in turn.
 */
import t from 'tap';
import type { EndKind, TaskOffer } from '../../src/ipc/exchange.ts';
import type { ResultRecord } from '../../src/protocol/result.ts';
import type { OutgoingTask } from '../../src/protocol/task-message.ts';
import { settled } from './doubles.ts';
import { addFollowUp, end, type Finish, late, loseChild, SettleBench, succeed } from './settle-bench.ts';

// ---------------------------------------------------------------- the table

interface Row {
  readonly title: string;
  readonly offer: Partial<TaskOffer>;
  readonly finish: Finish;
  /** Calls after the start, in their order. */
  readonly calls: readonly string[];
  /** The stored state; null: none. */
  readonly status: string | null;
  readonly event: string;
}

const table: readonly Row[] = [
  { title: 'early, success', offer: {}, finish: succeed, calls: ['store', 'settled'], status: 'SUCCESS', event: 'task.succeeded' },
  { title: 'late, success', offer: late, finish: succeed, calls: ['store', 'ack', 'settled'], status: 'SUCCESS', event: 'task.succeeded' },
  { title: 'early, failure', offer: {}, finish: end('failed'), calls: ['store', 'settled'], status: 'FAILURE', event: 'task.failed' },
  {
    title: 'late, failure',
    offer: late,
    finish: end('failed'),
    calls: ['store', 'ack', 'settled'],
    status: 'FAILURE',
    event: 'task.failed',
  },
  {
    title: 'late, failure, acks_on_failure_or_timeout false',
    offer: { ...late, acksOnFailureOrTimeout: false },
    finish: end('failed'),
    calls: ['store', 'drop', 'settled'],
    status: 'FAILURE',
    event: 'task.failed',
  },
  {
    title: 'early, failure, acks_on_failure_or_timeout false: acknowledged long ago',
    offer: { acksOnFailureOrTimeout: false },
    finish: end('failed'),
    calls: ['store', 'settled'],
    status: 'FAILURE',
    event: 'task.failed',
  },
  { title: 'early, retry', offer: {}, finish: end('retried'), calls: ['store', 'settled'], status: 'RETRY', event: 'task.retried' },
  { title: 'late, retry', offer: late, finish: end('retried'), calls: ['store', 'ack', 'settled'], status: 'RETRY', event: 'task.retried' },
  { title: 'early, ignored', offer: {}, finish: end('ignored'), calls: ['settled'], status: null, event: 'task.ignored' },
  { title: 'late, ignored', offer: late, finish: end('ignored'), calls: ['ack', 'settled'], status: null, event: 'task.ignored' },
  {
    title: 'early, rejected: nothing left to reject',
    offer: {},
    finish: end('rejected', { requeue: true }),
    calls: ['settled'],
    status: null,
    event: 'task.rejected',
  },
  { title: 'late, rejected', offer: late, finish: end('rejected'), calls: ['drop', 'settled'], status: null, event: 'task.rejected' },
  {
    title: 'late, rejected with requeue',
    offer: late,
    finish: end('rejected', { requeue: true }),
    calls: ['requeue', 'settled'],
    status: null,
    event: 'task.rejected',
  },
  { title: 'early, child died', offer: {}, finish: loseChild, calls: ['store', 'settled'], status: 'FAILURE', event: 'task.failed' },
  {
    title: 'late, child died',
    offer: late,
    finish: loseChild,
    calls: ['store', 'ack', 'settled'],
    status: 'FAILURE',
    event: 'task.failed',
  },
  {
    title: 'late, child died, reject_on_worker_lost: put back and counted, no result, no failure',
    offer: { ...late, rejectOnWorkerLost: true },
    finish: loseChild,
    calls: ['requeue', 'settled'],
    status: null,
    event: 'task.worker-lost',
  },
  {
    title: 'early, child died, reject_on_worker_lost: too late to put back',
    offer: { rejectOnWorkerLost: true },
    finish: loseChild,
    calls: ['store', 'settled'],
    status: 'FAILURE',
    event: 'task.failed',
  },
];

for (const row of table) {
  t.test(row.title, async (t) => {
    const bench = new SettleBench();
    const { request, job } = await bench.started(row.offer);
    row.finish(request, job);
    await bench.settler.idle();
    t.same(bench.recorder.names, row.calls);
    t.same(
      bench.backend.records.map(({ status }) => status),
      row.status === null ? [] : [row.status],
    );
    t.match(bench.log.lines.at(-1), { event: row.event, fields: { taskId: request.header.id, taskName: 'tasks.add' } });
    t.equal(request.state, 'settled');
    t.same(bench.settledRequests, [request]);
  });
}

t.test('these end before they have started: the message is settled whatever the ack mode', async (t) => {
  const rows: readonly (readonly [EndKind, readonly string[], string])[] = [
    ['undecodable', ['ack', 'settled'], 'message.undecodable'],
    ['invalid', ['drop', 'settled'], 'message.invalid'],
    ['expired', ['store', 'ack', 'settled'], 'task.revoked'],
  ];
  for (const [kind, calls, event] of rows) {
    for (const offer of [{}, late]) {
      const bench = new SettleBench();
      const { request, job } = bench.request(offer);
      end(kind)(request, job);
      await bench.settler.idle();
      t.same(bench.recorder.names, calls, kind);
      t.match(bench.log.lines.at(-1), { event });
    }
  }
});

t.test('a bad message is shown with what its sender is found by', async (t) => {
  for (const kind of ['undecodable', 'invalid'] as const) {
    const bench = new SettleBench();
    const { request, job } = bench.request({}, { id: 'bad' });
    end(kind, { text: 'the body must have 3 elements' })(request, job);
    await bench.settler.idle();
    const { message } = bench.log.lines.at(-1)!;
    t.match(message, /: the body must have 3 elements\n/, kind);
    t.match(message, '\ntask: tasks.add[bad] queue: celery\n', 'task, id and queue');
    t.match(message, /\nbody: '\[\[1/, 'the body');
    t.match(
      message,
      /delivery_info:\{'exchange': '.*', 'routing_key': '.*'\} headers=\{.*'origin': 'gen1@test'/,
      'where it was sent, and by whom',
    );
  }
});

t.test('early: acknowledged when the child starts it, before the end', async (t) => {
  const bench = new SettleBench();
  const { request, job } = bench.request();
  t.same(bench.recorder.names, []);
  request.onStarted(job, 4711, 0);
  t.same(bench.recorder.names, ['ack']);
  t.equal(request.state, 'active');
  await bench.settler.idle();
});

t.test('late: not acknowledged at the start', async (t) => {
  const bench = new SettleBench();
  const { request, job } = bench.request(late);
  request.onStarted(job, 4711, 0);
  await bench.settler.idle();
  t.same(bench.recorder.names, []);
});

t.test('discarded: expired and revoked', async (t) => {
  for (const reason of ['expired', 'revoked'] as const) {
    const bench = new SettleBench();
    const { request } = bench.request();
    bench.settler.discard(request, reason);
    await bench.settler.idle();
    t.same(bench.recorder.names, ['store', 'ack', 'settled']);
    t.match(bench.backend.records, [{ status: 'REVOKED', dateDoneMs: Number }]);
    t.match(JSON.parse(bench.backend.records[0]!.resultJson), { exc_type: 'TaskRevokedError', exc_message: [reason] });
    t.same(bench.revoked, reason === 'expired' ? [request.header.id] : [], 'an expired id counts as revoked');
  }
});

t.test('at a cold stop a late one goes back, an early one has failed', async (t) => {
  const bench = new SettleBench();
  const [first, second] = [await bench.started(late), await bench.started()];
  bench.recorder.calls.length = 0;
  bench.settler.stopping();
  loseChild(first.request, first.job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['requeue', 'settled']);
  loseChild(second.request, second.job);
  await bench.settler.idle();
  t.match(bench.backend.records, [{ taskId: second.request.header.id, status: 'FAILURE' }]);
});

t.test('given back by the pool: nothing is done to the message', async (t) => {
  const bench = new SettleBench();
  const { request, job } = bench.request(late);
  request.onReturned(job);
  t.same(bench.recorder.names, ['settled']);
  t.equal(request.state, 'settled');
});

// ---------------------------------------------------------------- what is stored

t.test('documents', async (t) => {
  const stored = async (offer: Partial<TaskOffer>, finish: Finish, more: Partial<OutgoingTask> = {}): Promise<ResultRecord[]> => {
    const bench = new SettleBench();
    const { request, job } = await bench.started(offer, more);
    finish(request, job);
    await bench.settler.idle();
    return bench.backend.records;
  };
  const group = { group: 'g1', parentId: 'p1' };
  t.match(await stored({}, succeed, group), [
    {
      taskId: 'task-1',
      status: 'SUCCESS',
      resultJson: '3',
      traceback: null,
      childrenJson: '[]',
      dateDoneMs: Number,
      groupId: 'g1',
      parentId: 'p1',
    },
  ]);
  t.match(await stored({}, (request, job) => request.onSucceeded(job, 1, { children: '[["x",null]]' }, '3')), [
    { childrenJson: '[["x",null]]' },
  ]);
  t.match(await stored({}, end('failed', { traceback: 'at line 3' })), [{ status: 'FAILURE', traceback: 'at line 3', dateDoneMs: Number }]);
  t.match(await stored({}, end('retried')), [{ status: 'RETRY', dateDoneMs: null }], 'a retry is not done');
  t.match(JSON.parse((await stored({}, loseChild))[0]!.resultJson), {
    exc_type: 'WorkerLostError',
    exc_message: ['Worker exited prematurely: signal 9 (SIGKILL) Job: 1.'],
    exc_module: 'billiard.exceptions',
  });
  t.match(await stored({ trackStarted: true }, succeed), [{ status: 'STARTED', dateDoneMs: null }, { status: 'SUCCESS' }]);
  t.match(JSON.parse((await stored({ trackStarted: true }, succeed))[0]!.resultJson), { pid: 4711, hostname: 'worker@test' });
});

t.test('ignore_result stores nothing, failures only when asked to', async (t) => {
  const cases: readonly (readonly [string, Partial<TaskOffer>, Finish, Partial<OutgoingTask>, number])[] = [
    ['task says so', { ignoreResult: true, trackStarted: true }, succeed, {}, 0],
    ['message says so', {}, succeed, { ignoreResult: true }, 0],
    ['a false in the message overrides nothing', { ignoreResult: true }, succeed, { ignoreResult: false }, 0],
    ['failure', { ignoreResult: true }, end('failed'), {}, 0],
    ['failure, asked to', { ignoreResult: true, storeErrorsEvenIfIgnored: true }, end('failed'), {}, 1],
    ['lost child, asked to', { ignoreResult: true, storeErrorsEvenIfIgnored: true }, loseChild, {}, 1],
    ['retry', { ignoreResult: true, storeErrorsEvenIfIgnored: true }, end('retried'), {}, 0],
  ];
  for (const [title, offer, finish, more, count] of cases) {
    const bench = new SettleBench();
    const { request, job } = await bench.started(offer, more);
    finish(request, job);
    await bench.settler.idle();
    t.equal(bench.backend.records.length, count, title);
  }
});

t.test('result_extended', async (t) => {
  const bench = new SettleBench({ resultExtended: true });
  const { request, job } = await bench.started({}, { retries: 2 });
  request.onSucceeded(job, 1, { args: '[1,2]', kwargs: '{}' }, '3');
  await bench.settler.idle();
  t.same(bench.backend.records[0]?.extended, {
    name: 'tasks.add',
    argsJson: '[1,2]',
    kwargsJson: '{}',
    worker: 'worker@test',
    retries: 2,
    queue: 'celery',
  });
});

t.test('result_extended of a task nobody here knows: what is known', async (t) => {
  const bench = new SettleBench({ resultExtended: true });
  const { request } = bench.request();
  await bench.settler.storeNotRegistered(request);
  t.match(bench.backend.records[0]?.extended, { name: 'tasks.add', argsJson: 'null', queue: null });
});

t.test('no backend: everything but the results', async (t) => {
  const bench = new SettleBench({ backend: false });
  const { request, job } = await bench.started({ ...late, trackStarted: true });
  addFollowUp(job);
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'ack', 'settled']);
});

t.test('states a task gives itself', async (t) => {
  const bench = new SettleBench();
  const { request, job } = await bench.started();
  await bench.settler.storeState(request, 'PROGRESS', '{"done":1}');
  t.match(bench.backend.records, [{ status: 'PROGRESS', resultJson: '{"done":1}', dateDoneMs: null }]);
  succeed(request, job);
  await bench.settler.idle();
  await bench.settler.storeState(request, 'PROGRESS', '{"done":2}');
  t.equal(bench.backend.records.length, 2, 'a word that comes after the end is not stored over it');
  const silent = await bench.started({ ignoreResult: true });
  await bench.settler.storeState(silent.request, 'PROGRESS', '{}');
  t.equal(bench.backend.records.length, 2);
});

// ---------------------------------------------------------------- the order

t.test('follow-ups published, then result stored, then acknowledged, then off our hands', async (t) => {
  const bench = new SettleBench();
  const { recorder } = bench;
  recorder.hold('declare', 'publish', 'store', 'ack');
  const { request, job } = await bench.started(late);
  addFollowUp(job, 'first');
  addFollowUp(job, 'second');
  succeed(request, job);
  await settled();
  t.same(recorder.names, ['declare']);
  await recorder.pass('declare');
  t.same(recorder.names, ['declare', 'publish']);
  await recorder.pass('publish');
  t.same(recorder.names, ['declare', 'publish', 'publish'], 'one after the other');
  await recorder.pass('publish');
  t.same(recorder.names, ['declare', 'publish', 'publish', 'store']);
  await recorder.pass('store');
  t.same(recorder.names, ['declare', 'publish', 'publish', 'store', 'ack']);
  let idle = false;
  const waiting = bench.settler.idle().then(() => {
    idle = true;
  });
  await settled();
  t.notOk(idle, 'not idle while the acknowledgement is on its way');
  await recorder.pass('ack');
  t.equal(recorder.names.at(-1), 'settled');
  await waiting;
  t.same(
    bench.broker.published.map(({ message }) => message.headers?.id),
    ['first', 'second'],
  );
});

t.test('where both commit together, store and acknowledgement are made in one turn', async (t) => {
  const bench = new SettleBench({ joint: true });
  const { recorder } = bench;
  recorder.hold('publish', 'store', 'ack');
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  succeed(request, job);
  await settled();
  t.same(recorder.names, ['declare', 'publish'], 'not before the follow-ups are published');
  await recorder.pass('publish');
  t.same(recorder.names.slice(2), ['store', 'ack']);
  await recorder.pass('store');
  t.equal(bench.settledRequests.length, 0, 'off our hands when both are done');
  await recorder.pass('ack');
  t.equal(bench.settledRequests.length, 1);
});

t.test('the steps of a chain that will never run are stored before the acknowledgement', async (t) => {
  const bench = new SettleBench();
  const { recorder } = bench;
  recorder.hold('store');
  const { request, job } = await bench.started(late);
  end('failed', {
    failedSteps: [
      { taskId: 'step-2', groupId: null },
      { taskId: 'step-3', groupId: 'g' },
    ],
  })(request, job);
  await settled();
  t.same(recorder.names, ['store', 'store', 'store']);
  t.match(bench.backend.records, [
    { taskId: 'task-1', status: 'FAILURE' },
    { taskId: 'step-2', status: 'FAILURE', resultJson: '{"exc_type":"ValueError"}' },
    { taskId: 'step-3', status: 'FAILURE', groupId: 'g' },
  ]);
  await recorder.pass('store');
  await recorder.pass('store');
  t.notOk(recorder.names.includes('ack'), 'all of them');
  await recorder.pass('store');
  t.ok(recorder.names.includes('ack'));
});

t.test('a child that died: the parent makes the error callbacks itself', async (t) => {
  const bench = new SettleBench();
  const errback = { task: 'tasks.oops', args: [], kwargs: {}, options: {}, subtask_type: null, immutable: false };
  const step = { task: 'tasks.next', args: [], kwargs: {}, options: { task_id: 'step-2' }, subtask_type: null, immutable: false };
  const { request, job } = await bench.started(late, { errbacks: [errback], chain: [step] });
  loseChild(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'store', 'store', 'ack', 'settled']);
  t.match(bench.broker.published[0]?.message.headers, { task: 'tasks.oops', parent_id: request.header.id });
  t.match(bench.backend.records, [{ taskId: request.header.id }, { taskId: 'step-2', status: 'FAILURE' }]);
});

t.test('what cannot be followed up is said', async (t) => {
  const bench = new SettleBench();
  const { request, job } = await bench.started();
  request.onSucceeded(job, 1, { unsupported: ['a chord'] }, '3');
  await bench.settler.idle();
  t.ok(
    bench.log.lines.some(
      ({ event, level, message }) => event === 'task.follow-up-unsupported' && level === 'error' && /a chord/.test(message),
    ),
  );
});

t.test('counts', async (t) => {
  const bench = new SettleBench();
  for (const finish of [succeed, succeed, end('failed'), end('retried'), end('ignored'), end('rejected'), end('expired'), loseChild]) {
    const { request, job } = await bench.started();
    finish(request, job);
  }
  await bench.settler.idle();
  t.same(bench.settler.counts, { succeeded: 2, failed: 1, retried: 1, rejected: 1, ignored: 1, revoked: 1, lost: 1, returned: 0 });
});
