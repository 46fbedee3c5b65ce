/** What is done when, of ending a task on request: with a child the test plays and a clock that stands still. */
import t from 'tap';
import { namedSignal } from '../../src/os/signal-name.ts';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { Job } from '../../src/pool/job.ts';
import type { KillParams } from '../../src/pool/kill-for-job.ts';
import { Terminator } from '../../src/pool/terminator.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const [term, kill] = [namedSignal('TERM'), namedSignal('KILL')];

function bench() {
  const clock = new FakeClock();
  const log = new RecordingLog();
  /** What the child was told, in order. */
  const told: string[] = [];
  const jobs = new Map<number, Job>();
  const child = {
    index: 1,
    pid: 4711,
    jobs,
    state: 'ready',
    retire: () => told.push('retire'),
    recall: () => told.push('recall'),
    stop: () => told.push('stop'),
    kill: (signal: string | number) => told.push(`kill ${signal}`),
  } as unknown as ChildHandle;
  let hit: (taskId: string) => boolean = () => true;
  /** It takes its time: the child is stopped first, and listened to. */
  let certain: Promise<void> = Promise.resolve();
  const killing = async ({ job, outcome, signal, onCertain }: KillParams): Promise<boolean> => {
    told.push(`kill ${signal} for ${job.taskId}, ${outcome.kind}`);
    await certain;
    if (!hit(job.taskId)) return false;
    onCertain?.(child);
    return true;
  };
  const terminator = new Terminator({ log, clock, kill: killing });
  const job = (id: number, started = true): Job => {
    const listener = { onStarted() {}, onSucceeded() {}, onEnded() {}, onWorkerLost() {}, onReturned() {} };
    const made = new Job({ id, taskName: 'tasks.add', taskId: `task-${id}`, meta: '', body: '', listener });
    made.child = child;
    if (started) made.startedAtMs = 1;
    jobs.set(id, made);
    return made;
  };
  const end = (ended: Job): void => {
    jobs.delete(ended.id);
    ended.child = null;
    terminator.ended(child);
  };
  /** From here on its stop takes until the function it answers with is called. */
  const stopped = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    certain = promise;
    return resolve;
  };
  const takeTold = (): string[] => told.splice(0);
  return {
    clock,
    log,
    child,
    jobs,
    terminator,
    job,
    end,
    told: takeTold,
    miss: (taskId?: string) => (hit = (id) => taskId !== undefined && id !== taskId),
    stop: stopped,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('it holds nothing to begin: the signal at once, and SIGKILL when it goes on', async (t) => {
  const { clock, log, terminator, job, told, child } = bench();
  terminator.terminate(job(1), term);
  await turn();
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated']);
  t.strictSame(
    log.lines.map(({ message }) => message),
    ['PoolChild-1 (pid 4711) is ended for tasks.add[task-1] (SIGTERM)'],
  );
  clock.advance(9_999);
  t.strictSame(told(), []);
  clock.advance(1);
  t.strictSame(told(), ['kill SIGKILL']);
  terminator.gone(child);
  t.equal(clock.pending, 0);
});

t.test('what it has not begun is asked back first', async (t) => {
  const { clock, jobs, terminator, job, told, child } = bench();
  const victim = job(1);
  job(2, false);
  terminator.terminate(victim, term);
  await turn();
  t.strictSame(told(), ['retire', 'recall']);
  jobs.delete(2);
  terminator.recalled(child);
  await turn();
  t.strictSame(told(), ['kill 15 for task-1, terminated']);
  terminator.recalled(child);
  clock.advance(250);
  await turn();
  t.strictSame(told(), [], 'once');
  t.equal(clock.pending, 1, 'the time to clean up');
});

t.test('it does not answer: SIGKILL, whatever the signal was', async (t) => {
  const { clock, log, terminator, job, told } = bench();
  const victim = job(1);
  job(2, false);
  terminator.terminate(victim, term);
  clock.advance(249);
  await turn();
  t.strictSame(told(), ['retire', 'recall']);
  clock.advance(1);
  await turn();
  t.strictSame(told(), ['kill SIGKILL for task-1, terminated']);
  t.match(log.lines, [{ message: /\(SIGKILL, because its JavaScript is blocked\)$/ }]);
  t.equal(clock.pending, 0);
});

t.test('it has answered while nobody listened: it is not blocked', async (t) => {
  const { clock, jobs, terminator, job, told, child } = bench();
  const victim = job(1);
  job(2, false);
  terminator.terminate(victim, term);
  clock.advance(250);
  jobs.delete(2);
  terminator.recalled(child);
  await turn();
  t.strictSame(told(), ['retire', 'recall', 'kill 15 for task-1, terminated']);
});

t.test('it has ended while nobody listened: nothing is done to it', async (t) => {
  const { clock, terminator, job, told, child } = bench();
  const victim = job(1);
  job(2, false);
  terminator.terminate(victim, term);
  clock.advance(250);
  Object.assign(child, { state: 'gone' });
  child.jobs.clear();
  terminator.gone(child);
  await turn();
  t.strictSame(told(), ['retire', 'recall']);
});

t.test('it answers that one has begun meanwhile: that one may go on with it', async (t) => {
  const { jobs, terminator, job, told, child, log } = bench();
  const victim = job(1);
  const other = job(2, false);
  job(3, false);
  terminator.terminate(victim, term);
  other.startedAtMs = 2;
  jobs.delete(3);
  terminator.recalled(child);
  await turn();
  t.strictSame(told(), ['retire', 'recall', 'kill 15 for task-1, terminated']);
  t.match(log.lines, [{ message: /; with it end, because they run there too: tasks\.add\[task-2\]$/ }]);
});

t.test('the task ends by itself: the child is let go', async (t) => {
  const { clock, terminator, job, end, told, child } = bench();
  const victim = job(1);
  job(2, false);
  terminator.terminate(victim, term);
  end(victim);
  t.strictSame(told(), ['retire', 'recall', 'stop']);
  t.equal(clock.pending, 0);
  terminator.recalled(child);
  await turn();
  t.strictSame(told(), [], 'no signal follows');
});

t.test('it ends by itself after the signal: the child is asked to end, and killed if it does not', async (t) => {
  const { clock, terminator, job, end, told } = bench();
  const victim = job(1);
  terminator.terminate(victim, term);
  await turn();
  end(victim);
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated', 'stop']);
  clock.advance(10_000);
  t.strictSame(told(), ['kill SIGKILL']);
});

t.test('it was not hit: it had ended', async (t) => {
  const { clock, terminator, job, told, miss, log } = bench();
  miss();
  terminator.terminate(job(1), term);
  await turn();
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated']);
  t.equal(clock.pending, 0, 'nobody is killed later');
  t.strictSame(log.lines, []);
});

t.test('again, with another signal', async (t) => {
  const { terminator, job, told } = bench();
  const victim = job(1);
  terminator.terminate(victim, term);
  await turn();
  terminator.terminate(victim, kill);
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated', 'kill 9']);
});

t.test('again, before it is certain that it is hit: nothing goes out before the first signal', async (t) => {
  const { terminator, job, told, stop, log } = bench();
  const victim = job(1);
  const certain = stop();
  terminator.terminate(victim, term);
  terminator.terminate(victim, kill);
  await turn();
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated']);
  t.strictSame(log.lines, []);
  certain();
  await turn();
  t.strictSame(told(), ['kill 9']);
  t.match(log.lines, [{ event: 'child.terminated' }]);
});

t.test('the first of two has ended: the signal is for the other, also when that was asked for meanwhile', async (t) => {
  const { terminator, job, told, stop, miss } = bench();
  const [first, second] = [job(1), job(2)];
  miss('task-1');
  const certain = stop();
  terminator.terminate(first, term);
  await turn();
  terminator.terminate(second, term);
  certain();
  await turn();
  t.strictSame(told(), ['retire', 'kill 15 for task-1, terminated', 'kill 15 for task-2, terminated', 'kill 15']);
});

t.test('again, before the signal: the last one counts', async (t) => {
  const { jobs, terminator, job, told, child } = bench();
  const [victim, second] = [job(1), job(2)];
  job(3, false);
  terminator.terminate(victim, term);
  terminator.terminate(second, kill);
  t.strictSame(told(), ['retire', 'recall']);
  jobs.delete(3);
  terminator.recalled(child);
  await turn();
  t.strictSame(told(), ['kill 9 for task-1, terminated']);
});

t.test('one that has not begun, has ended, or whose child is gone', async (t) => {
  const { terminator, job, end, told, child } = bench();
  terminator.terminate(job(1, false), term);
  const ended = job(2);
  end(ended);
  terminator.terminate(ended, term);
  const lost = job(3);
  Object.assign(child, { state: 'gone' });
  terminator.terminate(lost, term);
  t.strictSame(told(), []);
});
