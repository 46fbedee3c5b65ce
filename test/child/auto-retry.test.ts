/** Retries that happen by themselves: for which errors, how long they wait, when they end. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { TaskEnd } from '../../src/child/run-task.ts';
import { Ignore, Reject, Retry } from '../../src/task/control-flow.ts';
import type { TaskContext } from '../../src/task/task-context.ts';
import type { TaskOptions } from '../../src/task/task-options.ts';
import { FakeHost } from '../task/fake-request.ts';
import { runOnce } from './one-run.ts';

const fails = (thrown: unknown) => () => {
  throw thrown;
};
const kindOf = (end: TaskEnd): string => (end.kind === 'succeeded' ? end.kind : end.meta.kind);
const ended = (options: TaskOptions, thrown: unknown, retries = 0, host?: FakeHost): TaskEnd =>
  runOnce(options, fails(thrown), { retries }, host) as TaskEnd;

/** Seconds the retry waits. */
function waitOf(end: TaskEnd): number {
  const [message] = end.followUps;
  if (message === undefined || message.meta.dueAtMs === null) throw new Error(`it must be retried, got ${kindOf(end)}`);
  return (message.meta.dueAtMs - Date.now()) / 1000;
}

/** Half a second more or less, in which the machine does nothing, would be another wait. */
function stopClock(t: Test): void {
  const nowMs = Date.now();
  t.intercept(Date, 'now', { value: () => nowMs });
}

t.test('for the errors that are named, without those that are excepted', async (t) => {
  class Busy extends Error {}
  class VeryBusy extends Busy {}
  const options: TaskOptions = { autoretryFor: [Busy, 'TimeoutError'], dontAutoretryFor: [VeryBusy] };
  t.match(ended(options, new Busy('try later')), {
    meta: { kind: 'retried', text: "Retry in 180s: Busy('try later')" },
    followUps: [{ meta: { headers: { retries: 1 } } }],
  });
  t.equal(kindOf(ended(options, Object.assign(new Error('x'), { name: 'TimeoutError' }))), 'retried');
  t.equal(kindOf(ended(options, new VeryBusy())), 'failed');
  t.equal(kindOf(ended(options, new TypeError())), 'failed');
  t.equal(kindOf(ended({}, new Busy())), 'failed');
  t.equal(kindOf((await runOnce(options, async () => fails(new Busy())())) as TaskEnd), 'retried', 'an async task');
});

t.test('what says how the task ends is left alone', async (t) => {
  const options: TaskOptions = { autoretryFor: [Error] };
  t.equal(kindOf(ended(options, new Ignore())), 'ignored');
  t.equal(kindOf(ended(options, new Reject('x'))), 'rejected');
  t.match(ended(options, new Retry({ when: 7 })), { meta: { kind: 'retried', text: 'Retry in 7s' } });
});

t.test('no retries left: the task fails with what it threw', async (t) => {
  const options: TaskOptions = { autoretryFor: [Error], maxRetries: 2 };
  t.equal(kindOf(ended(options, new TypeError('x'), 1)), 'retried');
  t.match(ended(options, new TypeError('x'), 2), { meta: { kind: 'failed', text: "TypeError('x')" } });
  t.equal(kindOf(ended({ ...options, retryKwargs: { maxRetries: 5 } }, new TypeError('x'), 4)), 'retried');
  t.equal(kindOf(ended({ ...options, maxRetries: null }, new TypeError('x'), 999)), 'retried');
  const asks = (context: TaskContext): never => context.retry({ exc: new TypeError('x'), maxRetries: 0 });
  t.equal(kindOf(runOnce({ ...options, bind: true }, asks) as TaskEnd), 'failed', 'the limit retry() was called with holds');
});

t.test("the waits are Celery's", async (t) => {
  stopClock(t);
  const { backoff: rows } = JSON.parse(readFileSync(new URL('../../../shared/vectors/misc.json', import.meta.url), 'utf8')) as {
    readonly backoff: readonly {
      readonly factor: number;
      readonly retries: number;
      readonly maximum: number;
      readonly no_jitter: number;
    }[];
  };
  t.ok(rows.length > 3);
  for (const { factor, retries, maximum, no_jitter: expected } of rows) {
    if (factor === 0) continue;
    const options = { autoretryFor: [Error], retryBackoff: factor, retryBackoffMax: maximum, retryJitter: false, maxRetries: null };
    t.equal(waitOf(ended(options, new Error('x'), retries)), expected, `${factor} ${retries} ${maximum}`);
  }
  t.equal(waitOf(ended({ autoretryFor: [Error], retryBackoff: true, retryJitter: false }, new Error('x'), 2)), 4);
  t.equal(waitOf(ended({ autoretryFor: [Error], retryKwargs: { countdown: 9 } }, new Error('x'))), 9);
  t.equal(waitOf(ended({ autoretryFor: [Error], retryBackoff: false, defaultRetryDelay: 11 }, new Error('x'))), 11);
  t.equal(
    waitOf(ended({ autoretryFor: [Error], retryBackoff: 3, retryJitter: false, retryKwargs: { countdown: 9 } }, new Error('x'))),
    3,
    'backoff is stronger',
  );
});

t.test('jitter: any whole number of seconds from 0 to the wait', async (t) => {
  stopClock(t);
  const waits = new Set<number>();
  for (let run = 0; run < 400; run += 1) waits.add(waitOf(ended({ autoretryFor: [Error], retryBackoff: 2 }, new Error('x'), 1)));
  t.same([...waits].sort(), [0, 1, 2, 3, 4]);
});

t.test('interrupted by the stop of the worker: no attempt', async (t) => {
  const host = new FakeHost();
  host.interrupted = true;
  const end = ended({ autoretryFor: ['AbortError'], maxRetries: 1 }, Object.assign(new Error('x'), { name: 'AbortError' }), 1, host);
  t.match(end, { meta: { kind: 'retried' }, followUps: [{ meta: { headers: { retries: 1 } } }] });
});

t.test('retryFor travels in a header, and is no header of the caller', async (t) => {
  const seen: unknown[] = [];
  const options: TaskOptions = { bind: true, retryFor: 600, maxRetries: null, autoretryFor: [Error] };
  const task = (context: TaskContext): never => {
    seen.push(context.headers, context.retryUntilMs);
    throw new Error('x');
  };
  const first = runOnce(options, task, { headers: { tenant: 7 } }) as TaskEnd;
  const headers = first.followUps[0]?.meta.headers ?? {};
  t.match(headers, { tenant: 7, umbel_retry_until: seen[1] });
  const again = runOnce(options, task, { headers: { tenant: 7, umbel_retry_until: 4_102_444_800_000 }, retries: 5 }) as TaskEnd;
  t.strictSame(seen.slice(2), [{ tenant: 7 }, 4_102_444_800_000]);
  t.equal(again.followUps[0]?.meta.headers?.umbel_retry_until, 4_102_444_800_000);
  const late = runOnce(options, task, { headers: { umbel_retry_until: Date.now() + 1000 } }) as TaskEnd;
  t.equal(kindOf(late), 'failed', 'the default delay of 180 s is more than is left');
});

t.test('what throws when it is looked at is a failure', async (t) => {
  const thrown = new Proxy(
    {},
    {
      getPrototypeOf: () => {
        throw new Error('do not look');
      },
    },
  );
  t.equal(kindOf(ended({ autoretryFor: [Error] }, thrown)), 'failed');
});

t.test('another queue, priority and limits for the next run', async (t) => {
  const asks = (context: TaskContext): never =>
    context.retry({ queue: 'slow', priority: 1, timeLimit: 60, softTimeLimit: 50, countdown: 0 });
  t.match(runOnce({ bind: true }, asks), {
    followUps: [{ meta: { route: { queue: 'slow', priority: 1 }, headers: { timelimit: [60, 50] }, properties: { priority: 1 } } }],
  });
});
