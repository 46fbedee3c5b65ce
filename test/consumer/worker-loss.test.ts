/** What the end of a child means for a task: by its own doing or not, and by its ack mode. */
import t from 'tap';
import { Request } from '../../src/consumer/request.ts';
import { workerLossOf } from '../../src/consumer/worker-loss.ts';
import type { TaskOffer } from '../../src/ipc/exchange.ts';
import type { ChildExit, Job, KillOutcome } from '../../src/pool/job.ts';
import { encodeTask, readReceipt } from '../../src/protocol/task-message.ts';
import { jobOfType } from '../pool/job-of-type.ts';
import { deliveryOf, taskOffer } from './doubles.ts';

const exit: ChildExit = { pid: 7, index: 1, exitCode: null, signal: 'SIGKILL' };
const limit = (stack: readonly string[] | null = null): KillOutcome => ({ kind: 'time-limit', limitSeconds: 3, stack });
const lost = 'Worker exited prematurely: signal 9 (SIGKILL) Job: 1.';

function requestOf(offer: Partial<TaskOffer>): Request {
  const message = encodeTask({ task: 'tasks.add', id: 'id', args: [], kwargs: {}, origin: 'test' });
  const receipt = readReceipt(message);
  if (receipt.kind !== 'task') throw new Error(receipt.kind);
  const never = (): never => {
    throw new Error('nothing is settled here');
  };
  const listener = { onStarted: never, onSucceeded: never, onEnded: never, onWorkerLost: never, onReturned: never, discard: never };
  return new Request({ delivery: deliveryOf(message), header: receipt.header, offer: taskOffer('tasks.add', offer), listener });
}

const late = { acksLate: true };
const poison = { onCrash: () => ({ kind: 'requeue' }) as const };
const rules = { stopping: false, poison };

t.test('its child died by itself', (t) => {
  const loss = (offer: Partial<TaskOffer>, stopping = false) =>
    workerLossOf(requestOf(offer), jobOfType('tasks.add'), exit, { stopping, poison });
  const failed = { kind: 'failed', error: { exc_type: 'WorkerLostError', exc_message: [lost] }, action: 'ack', count: 'lost' };
  t.match(loss({}), { ...failed, text: `Task tasks.add[id] raised unexpected: WorkerLostError('${lost}')` });
  t.match(loss(late), failed);
  t.match(loss({ rejectOnWorkerLost: true }), failed, 'it is acknowledged already');
  t.match(loss({ ...late, rejectOnWorkerLost: true }), {
    kind: 'put-back',
    level: 'error',
    text: `Task tasks.add[id] is put back: ${lost}`,
  });
  t.match(loss({}, true), failed);
  t.match(loss(late, true), { kind: 'put-back', verdict: null });
  t.match(loss({ ...late, rejectOnWorkerLost: true }, true), { kind: 'put-back', verdict: null }, 'a stop is no crash');
  const dead = { onCrash: () => ({ kind: 'dead', text: 'enough', action: 'drop', publish: async () => {} }) as const };
  const request = requestOf({ ...late, rejectOnWorkerLost: true });
  const end = workerLossOf(request, jobOfType('tasks.add'), exit, { stopping: false, poison: dead });
  t.match(end, { kind: 'failed', error: { exc_message: ['enough'] }, action: 'drop', verdict: { kind: 'dead' } }, 'as it was put aside');
  t.end();
});

t.test('its child was ended because of it', (t) => {
  const job: Job = jobOfType('tasks.add');
  const loss = (offer: Partial<TaskOffer>, outcome = limit()) =>
    workerLossOf(requestOf(offer), job, { ...exit, killed: { job, outcome } }, rules);
  const error = { exc_type: 'TimeLimitExceeded', exc_message: [3], exc_module: 'billiard.exceptions' };
  t.strictSame(loss({}), { kind: 'failed', error, traceback: null, action: 'ack', count: 'failed', text: null, verdict: null });
  t.match(loss(late), { kind: 'failed', action: 'ack' });
  t.match(loss({ ...late, rejectOnWorkerLost: true }), { kind: 'failed', action: 'ack' }, 'its child was not lost');
  t.match(loss({ ...late, acksOnFailureOrTimeout: false }), { kind: 'failed', action: 'drop' });
  t.match(loss({ acksOnFailureOrTimeout: false }), { action: 'ack' });
  t.match(loss({}, limit(['    at loop (tasks.ts:1:2)'])), { traceback: 'TimeLimitExceeded: 3\n    at loop (tasks.ts:1:2)\n' });
  t.end();
});

t.test('its child was ended because of another task', (t) => {
  const killed = { job: jobOfType('tasks.other'), outcome: limit() };
  const loss = (offer: Partial<TaskOffer>) => workerLossOf(requestOf(offer), jobOfType('tasks.add'), { ...exit, killed }, rules);
  const why = `${lost} It ran in the same child as tasks.other[id], which exceeded its hard time limit of 3s.`;
  t.match(loss(late), { kind: 'put-back', text: `Task tasks.add[id] is put back: ${why}` }, 'it is run again, without having to say so');
  t.match(loss({}), { kind: 'failed', error: { exc_type: 'WorkerLostError', exc_message: [why] }, action: 'ack', count: 'lost' });
  t.end();
});

t.test('its message is no longer ours', (t) => {
  const request = requestOf({});
  request.lost = true;
  t.match(workerLossOf(request, jobOfType('tasks.add'), exit, rules), { kind: 'put-back', level: 'warning', text: /no longer ours/ });
  t.end();
});
