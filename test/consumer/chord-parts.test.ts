/** The end of tasks that are parts of chords: in which order, and what a crash or a refusal between two steps leaves. */
import t from 'tap';
import type { FinishedTask } from '../../src/canvas/finished-task.ts';
import { followUpsOfFailure, followUpsOfSuccess } from '../../src/canvas/follow-up.ts';
import { encodeFollowUps } from '../../src/canvas/follow-up-message.ts';
import { type Signature, signature } from '../../src/canvas/signature.ts';
import { ChordParts } from '../../src/consumer/chord-parts.ts';
import { FollowUpPublisher } from '../../src/consumer/follow-up-publisher.ts';
import type { Request } from '../../src/consumer/request.ts';
import { UmbelError } from '../../src/errors.ts';
import type { TaskOffer } from '../../src/ipc/exchange.ts';
import type { Job } from '../../src/pool/job.ts';
import { encodeTask, type OutgoingTask, readContent, readReceipt } from '../../src/protocol/task-message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { record } from '../backend/conformance.ts';
import { deliveryOf, RecordingGroups, settled } from './doubles.ts';
import { endedMeta, late, loseChild, SettleBench } from './settle-bench.ts';

const body = signature('tasks.sum', ['more'], {}, { task_id: 'body', reply_to: 'r', queue: 'sums' });
const failing = { ...body, options: { ...body.options, link_error: [signature('tasks.oops')] } };
const inGroup = { group: 'g', groupIndex: 1, rootId: 'root' };
const complete = { kind: 'complete', resultsJson: '[1, {"a": NaN}, "$&"]' } as const;
const chordError = { exc_type: 'ChordError', exc_message: ["Dependency x raised ValueError('boom')"], exc_module: 'celery.exceptions' };
const failed = { kind: 'failed', exception: chordError, traceback: 'ChordError\n' } as const;

const ownPart = {
  part: 1,
  taskId: 'part',
  groupId: 'g',
  groupIndex: 0,
  chordSize: null,
  resultsToken: '',
  bodyError: null,
  failed: [],
  outer: [],
};

class ChordBench extends SettleBench {
  readonly groups = new RecordingGroups(this.recorder, this.subscription);

  constructor(joint = false) {
    super({ joint });
    this.backend.groups = this.groups;
  }

  part(more: Partial<OutgoingTask> = {}, offer: Partial<TaskOffer> = late): Promise<{ request: Request; job: Job }> {
    return this.started(offer, { ...inGroup, chord: body, ...more });
  }
}

/** As a child ends it. */
function succeed(request: Request, job: Job): void {
  const { messages, about } = encodeFollowUps(followUpsOfSuccess(finished(request), readContent(request.delivery, 2), 3), 2);
  job.followUps = messages;
  request.onSucceeded(job, 0.5, about, '3');
}

function fail(request: Request, job: Job): void {
  const { messages, about } = encodeFollowUps(followUpsOfFailure(finished(request), readContent(request.delivery, 2)), 2);
  job.followUps = messages;
  request.onEnded(job, 0.5, endedMeta('failed', about), '{"exc_type":"ValueError"}');
}

function finished({ header }: Request): FinishedTask {
  const { id, rootId, group, groupIndex } = header;
  return { id, rootId, group, groupIndex, priority: null, origin: 'gen2@test' };
}

/** Where broker and backend are one place the acknowledgement goes along with the counting, which may keep the message. */
const counting = (joint: boolean): string[] => (joint ? ['count', 'keep'] : ['count']);

t.test('others are missing: counted with the result, and acknowledged: with it where that is one step, after it where not', async (t) => {
  for (const joint of [true, false]) {
    const bench = new ChordBench(joint);
    bench.recorder.hold('count');
    const { request, job } = await bench.part();
    succeed(request, job);
    await settled();
    t.same(bench.recorder.names, joint ? ['count', 'ack'] : ['count']);
    t.equal(bench.settledRequests.length, 0);
    await bench.recorder.pass('count');
    await bench.settler.idle();
    t.same(bench.recorder.names, ['count', 'ack', 'settled']);
    t.match(bench.groups.parts, [
      {
        record: { taskId: 'task-1', status: 'SUCCESS', resultJson: '3', groupId: 'g' },
        part: { groupId: 'g', groupIndex: 1, chordSize: null, ignoreResult: false },
      },
    ]);
    t.same(bench.backend.records, [], 'stored by the counting');
  }
});

t.test('the last part: counted, body published, then acknowledged in one turn with the end of the chord', async (t) => {
  for (const joint of [true, false]) {
    const bench = new ChordBench(joint);
    const { recorder } = bench;
    bench.groups.outcomes.set('g', complete);
    recorder.hold('count', 'publish', 'end', 'ack');
    const { request, job } = await bench.part();
    succeed(request, job);
    await settled();
    t.same(recorder.names, counting(joint));
    await recorder.pass('count');
    t.same(recorder.names, [...counting(joint), 'declare', 'publish']);
    await recorder.pass('publish');
    t.same(recorder.names.slice(counting(joint).length + 2), ['end', 'ack'], 'both, and not before the body is there for good');
    await recorder.pass('end');
    t.equal(bench.settledRequests.length, 0);
    await recorder.pass('ack');
    t.equal(bench.settledRequests.length, 1);
  }
});

t.test('the body is what Celery sends', async (t) => {
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', complete);
  const { request, job } = await bench.part();
  succeed(request, job);
  await bench.settler.idle();
  t.equal(bench.broker.published.length, 1);
  const [{ message, destination }] = bench.broker.published as [(typeof bench.broker.published)[0]];
  t.match(destination, { exchange: '', routingKey: 'sums' });
  t.match(message.headers, {
    task: 'tasks.sum',
    id: 'body',
    root_id: 'root',
    parent_id: request.header.id,
    group: null,
    argsrepr: "([1, {'a': nan}, '$&'], 'more')",
  });
  t.match(message.properties, { correlationId: 'body', replyTo: 'r' });
  t.equal(
    message.body.toString(),
    `[[${complete.resultsJson},"more"],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]`,
    'the results are the text the backend gave, digit for digit',
  );
});

t.test('a compressed body is compressed with the results in it', async (t) => {
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', complete);
  const { request, job } = await bench.part({ chord: { ...body, options: { ...body.options, compression: 'zlib' } } });
  succeed(request, job);
  await bench.settler.idle();
  const { message } = bench.broker.published[0]!;
  t.equal(message.headers?.compression, 'application/x-gzip');
  t.match(readContent(message, 2).args, [[1, {}, '$&'], 'more']);
});

t.test('many results: shown as far as they fit, sent in full', async (t) => {
  const bench = new ChordBench();
  const results = Array.from({ length: 10_000 }, (_, index) => index);
  bench.groups.outcomes.set('g', { kind: 'complete', resultsJson: JSON.stringify(results) });
  const { request, job } = await bench.part();
  succeed(request, job);
  await bench.settler.idle();
  const { message } = bench.broker.published[0]!;
  t.strictSame(readContent(message, 2).args[0], results);
  t.match(message.headers?.argsrepr, /^\(\[0, 1, 2, .*\.\.\.\], 'more'\)$/);
  t.ok(String(message.headers?.argsrepr).length < 1200);
});

t.test('a worker that dies before the acknowledgement: the same part completes it again', async (t) => {
  for (const step of ['count', 'publish']) {
    const bench = new ChordBench(true);
    bench.groups.outcomes.set('g', complete);
    bench.recorder.hold(step, 'ack');
    const { request, job } = await bench.part();
    succeed(request, job);
    await settled();
    t.equal(bench.recorder.names.filter((name) => name !== 'keep').at(-1), step);
    t.notOk(bench.recorder.names.includes('ack'), `dies at ${step}: the message is still the broker's`);
    // The next worker has nothing but the message.
    const again = new ChordBench(true);
    again.groups.outcomes.set('g', complete);
    const redelivered = await again.part();
    succeed(redelivered.request, redelivered.job);
    await again.settler.idle();
    t.same(again.recorder.names, ['count', 'keep', 'declare', 'publish', 'end', 'ack', 'settled']);
    t.equal(again.broker.published[0]?.message.headers?.id, 'body', 'the same body');
  }
});

t.test('early acknowledgement: the same, without one at the end', async (t) => {
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', complete);
  const { request, job } = await bench.part({}, {});
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'declare', 'publish', 'end', 'settled']);
});

t.test('early acknowledgement in one place: nothing is left to acknowledge with the counting', async (t) => {
  const bench = new ChordBench(true);
  const { request, job } = await bench.part({}, {});
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'settled']);
});

t.test('a message that turns out to be somebody else’s by now is counted by that one', async (t) => {
  const bench = new ChordBench(true);
  bench.subscription.outcome = 'stale';
  const { request, job } = await bench.part();
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'ack', 'settled']);
  t.ok(request.lost);
  await bench.log.event('task.ack-stale');
});

t.test('counters that cannot be deleted are no reason to run the part again', async (t) => {
  for (const joint of [true, false]) {
    const bench = new ChordBench(joint);
    bench.groups.outcomes.set('g', complete);
    bench.recorder.fail('end', new UmbelError('BACKEND_UNAVAILABLE', 'too much waits'));
    const { request, job } = await bench.part();
    succeed(request, job);
    await bench.settler.idle();
    t.same(bench.recorder.names.slice(-3), ['end', 'ack', 'settled']);
    t.match(await bench.log.event('chord.not-ended'), { level: 'warning', message: /counters of chord g .*too much waits/ });
  }
});

t.test('several parts end with one task: all are counted before it is acknowledged', async (t) => {
  const last = (groupId: string): Signature =>
    signature('tasks.last', [], {}, { task_id: `last-${groupId}`, group_id: groupId, chord: body });
  const bench = new ChordBench(true);
  bench.recorder.hold('count');
  const { request, job } = await bench.part({ chain: [last('outer')] });
  fail(request, job);
  await settled();
  await bench.recorder.pass('count');
  t.same(bench.recorder.names, ['count', 'count']);
  await bench.recorder.pass('count');
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'count', 'ack', 'settled']);
});

t.test('follow-ups of the task itself go before the counting', async (t) => {
  const bench = new ChordBench();
  const { request, job } = await bench.part({ callbacks: [signature('tasks.next')] });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'count', 'ack', 'settled']);
  t.equal(bench.broker.published[0]?.message.headers?.task, 'tasks.next');
});

t.test('a chord that failed: error callbacks, then the failure of the body with the acknowledgement; the chord is not ended', async (t) => {
  for (const [finish, joint] of [
    [succeed, true],
    [fail, false],
    [loseChild, true],
  ] as const) {
    const bench = new ChordBench(joint);
    bench.groups.outcomes.set('g', failed);
    const { request, job } = await bench.part({ chord: failing });
    finish(request, job);
    await bench.settler.idle();
    t.same(bench.recorder.names, [...counting(joint), 'declare', 'publish', 'store', 'ack', 'settled']);
    t.match(bench.broker.published[0]?.message.headers, { task: 'tasks.oops', root_id: 'body', parent_id: 'body' });
    t.match(readContent(bench.broker.published[0]!.message, 2).args, ['body']);
    t.match(bench.backend.records, [
      { taskId: 'body', status: 'FAILURE', resultJson: JSON.stringify(chordError), traceback: 'ChordError\n' },
    ]);
    t.match(await bench.log.event('chord.failed'), {
      level: 'error',
      message: /Chord g raised: ChordError\("Dependency x raised ValueError\('boom'\)"\)/,
    });
  }
});

t.test('apart, the failure of the body is stored before the acknowledgement', async (t) => {
  const bench = new ChordBench(false);
  bench.groups.outcomes.set('g', failed);
  bench.recorder.hold('store');
  const { request, job } = await bench.part();
  fail(request, job);
  await settled();
  t.same(bench.recorder.names, ['count', 'store']);
  await bench.recorder.pass('store');
  t.same(bench.recorder.names, ['count', 'store', 'ack', 'settled']);
});

t.test('a part of a chord without a size: acknowledged as any other, and its body failed when it is given up', async (t) => {
  for (const joint of [true, false]) {
    const { bench, parts, clock } = unsizedChord(joint);
    const { request } = await bench.part({ chord: failing });
    const { messages, about } = encodeFollowUps(followUpsOfSuccess(finished(request), readContent(request.delivery, 2), 3), 2);
    const ending = { parts: about.chordParts ?? [], followUps: messages, record: record('task-1', 'SUCCESS', 1), ignoreResult: false };
    await parts.settle(ending, [], () => bench.subscription.ack(request.delivery));
    t.same(bench.recorder.names, ['count', 'ack'], 'its message does not wait for that');
    clock.advance(bench.groups.sizeTimeoutMs);
    await settled();
    t.same(bench.recorder.names.slice(2), ['give up', 'declare', 'publish', 'store']);
    t.equal(bench.recorder.calls.find(({ name }) => name === 'give up')?.detail, `g ${request.header.id} 3`);
    t.match(bench.broker.published[0]?.message.headers, { task: 'tasks.oops', root_id: 'body' });
    t.match(bench.backend.records, [{ taskId: 'body', status: 'FAILURE', resultJson: JSON.stringify(chordError) }]);
    t.ok(bench.log.lines.some(({ event }) => event === 'chord.failed'));
  }
});

t.test('a worker that stops gives up nothing', async (t) => {
  for (const stopped of [false, true]) {
    const { bench, parts, clock } = unsizedChord(false);
    if (stopped) parts.stop();
    await parts.settle({ parts: [ownPart], followUps: [], record: record('part', 'SUCCESS', 1), ignoreResult: false }, [], async () => {});
    clock.advance(bench.groups.sizeTimeoutMs);
    await settled();
    t.strictSame(bench.recorder.names.slice(0, 2), stopped ? ['count'] : ['count', 'give up']);
  }
});

/** Three parts of a chord are counted, and nobody knows of how many. */
function unsizedChord(joint: boolean): { readonly bench: ChordBench; readonly parts: ChordParts; readonly clock: FakeClock } {
  const bench = new ChordBench(joint);
  bench.groups.outcomes.set('g', { kind: 'unsized', counted: 3 });
  bench.groups.outcomes.set('g given up', failed);
  const clock = new FakeClock();
  const { backend, broker, producer, log } = bench;
  const publisher = new FollowUpPublisher({ broker, backend: null, producer, log });
  return { bench, parts: new ChordParts({ backend, publisher, joint, log, clock }), clock };
}

t.test('which ends are ends of a part', async (t) => {
  const rows: readonly (readonly [string, (bench: ChordBench) => Promise<void>, string | null])[] = [
    ['success', async (bench) => void (await end(bench, succeed)), 'SUCCESS'],
    ['failure', async (bench) => void (await end(bench, fail)), 'FAILURE'],
    ['a child that died', async (bench) => void (await end(bench, loseChild)), 'FAILURE'],
    ['retry', async (bench) => void (await end(bench, (request, job) => request.onEnded(job, 1, endedMeta('retried'), 'null'))), null],
    ['ignored', async (bench) => void (await end(bench, (request, job) => request.onEnded(job, 1, endedMeta('ignored'), 'null'))), null],
    ['rejected', async (bench) => void (await end(bench, (request, job) => request.onEnded(job, 1, endedMeta('rejected'), 'null'))), null],
    ['expired', async (bench) => bench.settler.discard((await bench.part()).request, 'expired'), 'REVOKED'],
    ['revoked', async (bench) => bench.settler.discard((await bench.part()).request, 'revoked'), 'REVOKED'],
  ];
  for (const [title, finish, status] of rows) {
    const bench = new ChordBench();
    await finish(bench);
    await bench.settler.idle();
    t.same(
      bench.groups.parts.map(({ record }) => record.status),
      status === null ? [] : [status],
      title,
    );
    t.ok(['ack', 'drop'].includes(bench.recorder.names.at(-2) ?? ''), `${title}: off the broker`);
  }
});

async function end(bench: ChordBench, finish: (request: Request, job: Job) => void): Promise<void> {
  const { request, job } = await bench.part();
  finish(request, job);
}

t.test('a part nobody here knows fails the chord too', async (t) => {
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', failed);
  const message = encodeTask({ task: 'tasks.unknown', id: 'part', args: [], kwargs: {}, origin: 'x', ...inGroup, chord: failing });
  const delivery = deliveryOf(message);
  const receipt = readReceipt(delivery);
  if (receipt.kind !== 'task') throw new Error('a task message');
  await bench.settler.storeNotRegistered({ delivery, header: receipt.header });
  t.same(bench.recorder.names, ['count', 'declare', 'publish', 'store'], 'the consumer rejects the message');
  t.match(bench.groups.parts, [{ record: { taskId: 'part', status: 'FAILURE', resultJson: /NotRegistered/ } }]);
});

t.test('an ignored result is counted and not stored; a failure is, when asked to', async (t) => {
  const bench = new ChordBench();
  const quiet = await bench.part({}, { ...late, ignoreResult: true });
  succeed(quiet.request, quiet.job);
  await bench.settler.idle();
  t.match(bench.groups.parts, [{ record: { status: 'SUCCESS', resultJson: '3' }, part: { ignoreResult: true } }]);
  const loud = await bench.part({}, { ...late, ignoreResult: true, storeErrorsEvenIfIgnored: true });
  fail(loud.request, loud.job);
  await bench.settler.idle();
  t.match(bench.groups.parts[1], { record: { status: 'FAILURE' }, part: { ignoreResult: false } });
  t.same(bench.backend.records, []);
});

t.test('a later step of a failed chain that is a part', async (t) => {
  const step = signature('tasks.last', [], {}, { task_id: 'last', group_id: 'g', group_index: 4, chord: body });
  const middle = signature('tasks.middle', [], {}, { task_id: 'middle' });
  const bench = new ChordBench(true);
  const { request, job } = await bench.started(late, { chain: [step, middle] });
  fail(request, job);
  await bench.settler.idle();
  t.same(
    bench.recorder.names,
    ['store', 'store', 'count', 'ack', 'settled'].sort((a, b) => order(a) - order(b)),
  );
  t.match(bench.groups.parts, [{ record: { taskId: 'last', status: 'FAILURE' }, part: { groupId: 'g', groupIndex: 4 } }]);
  t.match(bench.backend.records.map(({ taskId }) => taskId).sort(), ['middle', 'task-1']);
});

const order = (name: string): number => ['store', 'count', 'ack', 'settled'].indexOf(name);

t.test('a body that fails is a part of the next chord', async (t) => {
  const inner: Signature = { ...body, options: { task_id: 'inner', group_id: 'outer', group_index: 2, chord: failing } };
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', failed);
  bench.groups.outcomes.set('outer', failed);
  const { request, job } = await bench.part({ chord: inner });
  fail(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'count', 'declare', 'publish', 'store', 'ack', 'settled']);
  t.match(bench.groups.parts[1], {
    record: { taskId: 'inner', resultJson: JSON.stringify(chordError) },
    part: { groupId: 'outer', groupIndex: 2 },
  });
  t.match(bench.backend.records, [{ taskId: 'body' }]);
});

t.test('chord_size of old senders', async (t) => {
  const bench = new ChordBench();
  const { request, job } = await bench.part({ chord: { ...body, chord_size: 5 } });
  succeed(request, job);
  await bench.settler.idle();
  t.match(bench.groups.parts, [{ part: { chordSize: 5 } }]);
});

// ---------------------------------------------------------------- what cannot be done

t.test('a body that cannot be sent, or that the broker refuses: the body has failed, and the chord is ended', async (t) => {
  for (const refused of [true, false]) {
    const bench = new ChordBench();
    bench.groups.outcomes.set('g', complete);
    if (refused) bench.recorder.fail('publish', new UmbelError('QUEUE_UNKNOWN', 'no such queue'));
    const chord = refused ? body : { ...body, options: { ...body.options, serializer: 'pickle' } };
    const { request, job } = await bench.part({ chord });
    succeed(request, job);
    await bench.settler.idle();
    t.same(bench.recorder.names.slice(-4), ['store', 'end', 'ack', 'settled']);
    t.match(bench.backend.records, [
      { taskId: 'body', status: 'FAILURE', resultJson: /ChordError.*Callback error: .*(no such queue|pickle)/ },
    ]);
    t.match(bench.groups.parts, [{ record: { status: 'SUCCESS' } }], 'the part itself has not failed');
  }
});

t.test('an error callback that cannot be written: the part is counted all the same, and it is said', async (t) => {
  const wrong = signature('tasks.oops', [], {}, { serializer: 'pickle' });
  const broken = signature('tasks.oops', [], {}, { countdown: 'soon' });
  const right = signature('tasks.told');
  for (const [finish, status] of [
    [succeed, 'SUCCESS'],
    [fail, 'FAILURE'],
    [loseChild, 'FAILURE'],
  ] as const) {
    for (const link_error of [[wrong, right], [broken]]) {
      const bench = new ChordBench();
      bench.groups.outcomes.set('g', failed);
      const { request, job } = await bench.part({ chord: { ...body, options: { ...body.options, link_error } }, errbacks: [wrong, right] });
      finish(request, job);
      await bench.settler.idle();
      t.match(bench.groups.parts, [{ record: { status } }]);
      t.equal(bench.recorder.names.at(-2), 'ack');
      const sent = bench.broker.published.map(({ message }) => message.headers?.task);
      const expected = (status === 'FAILURE' ? 1 : 0) + (link_error.includes(right) ? 1 : 0);
      t.strictSame(sent, Array(expected).fill('tasks.told'), 'the others are sent');
      const said = bench.log.lines.filter(({ event }) => event === 'task.follow-up-unsupported');
      t.equal(said.length, status === 'FAILURE' ? 2 : 1);
      const words = link_error.includes(wrong) ? /an error callback: .*"pickle"/ : /countdown/;
      t.ok(
        said.some(({ message }) => words.test(message)),
        String(words),
      );
    }
  }
});

t.test('a broker that is away is waited for; one that stops gets the message back', async (t) => {
  const bench = new ChordBench();
  bench.groups.outcomes.set('g', complete);
  bench.recorder.fail('publish', new UmbelError('BROKER_UNAVAILABLE', 'away'));
  bench.broker.enter('lost');
  const { request, job } = await bench.part();
  succeed(request, job);
  await bench.log.event('task.follow-up-delayed');
  bench.broker.enter('stopped');
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'declare', 'publish', 'publish', 'requeue', 'settled']);
});

t.test('counting that fails: the message goes back', async (t) => {
  const bench = new ChordBench(true);
  for (const step of ['count', 'ack']) bench.recorder.fail(step, new UmbelError('BACKEND_UNAVAILABLE', 'gone'));
  const { request, job } = await bench.part();
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['count', 'ack', 'requeue', 'settled'], 'neither counted nor acknowledged, and then put back');
});

t.test('a callback that is refused fails the task, and the part with it', async (t) => {
  const bench = new ChordBench();
  bench.recorder.fail('publish', new UmbelError('QUEUE_UNKNOWN', 'no such queue'));
  const { request, job } = await bench.part({ callbacks: [signature('tasks.next')] });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'count', 'ack', 'settled']);
  t.match(bench.groups.parts, [{ record: { status: 'FAILURE', resultJson: /no such queue/ } }]);
});

t.test('nobody counts: said once for each task, which ends as any other', async (t) => {
  for (const bench of [new SettleBench(), new SettleBench({ backend: false })]) {
    const { request, job } = await bench.started(late, { ...inGroup, chord: body });
    succeed(request, job);
    await bench.settler.idle();
    t.same(
      bench.recorder.names.filter((name) => name !== 'store'),
      ['ack', 'settled'],
    );
    const said = bench.log.lines.filter(({ event }) => event === 'chord.not-counted');
    t.equal(said.length, 1);
    t.match(said[0], { level: 'error', message: /task-1 is part of chord g, whose body will not run: .*(no result backend|recording:)/ });
  }
});

t.test('a message that is no longer ours counts for nothing', async (t) => {
  const bench = new ChordBench();
  const { request, job } = await bench.part();
  request.lost = true;
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['settled']);
});

// ---------------------------------------------------------------- a chord that begins

const header = [signature('tasks.add', [1]), signature('tasks.add', [2])];
const chord = (members: readonly unknown[]): Signature => ({
  ...signature('celery.chord', [], { kwargs: {}, header: members, body }, { task_id: 'gid' }),
  subtask_type: 'chord',
});

t.test('a chord in a chain: its size is known before its first part is sent', async (t) => {
  const bench = new ChordBench();
  const { request, job } = await bench.started(late, { chain: [chord(header)] });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['size', 'declare', 'publish', 'publish', 'store', 'ack', 'settled']);
  t.match(bench.recorder.calls[0]?.detail, /^\S+ 2$/);
  const [groupId] = String(bench.recorder.calls[0]?.detail).split(' ');
  for (const [index, { message }] of bench.broker.published.entries()) {
    t.match(message.headers, { task: 'tasks.add', group: groupId, group_index: index, parent_id: request.header.id });
    t.match(readContent(message, 2), {
      args: [3, index + 1],
      chord: { task: 'tasks.sum', options: { task_id: 'body', parent_id: request.header.id } },
    });
  }
});

t.test('the shape of the results is saved where it is not a list', async (t) => {
  const bench = new ChordBench();
  const chain = {
    ...signature('celery.chain', [], {
      tasks: [header[0], { ...signature('celery.group', [], { tasks: header }), subtask_type: 'group' }],
    }),
    subtask_type: 'chain',
  };
  const { request, job } = await bench.started(late, { chain: [chord([header[0], chain])] });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names.slice(0, 2).sort(), ['group', 'size']);
  t.match(bench.recorder.calls.find(({ name }) => name === 'size')?.detail, / 3$/);
  const saved = JSON.parse(String(bench.recorder.calls.find(({ name }) => name === 'group')?.detail).split(' ')[1] ?? '');
  t.match(saved, [
    [String, null],
    [
      [[String, null], null],
      [
        [String],
        [
          [[String, null], null],
          [[String, null], null],
        ],
      ],
    ],
  ]);
});

t.test('without anyone to count, a chord is not begun: the task has failed', async (t) => {
  const bench = new SettleBench();
  const { request, job } = await bench.started(late, { chain: [chord(header)] });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.broker.published, []);
  t.match(bench.backend.records, [{ status: 'FAILURE', resultJson: /a chord needs a result backend that counts its parts/ }]);
});
