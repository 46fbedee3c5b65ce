/** A child is ended for one job: what is done to it, and when nothing is. The child is the test's own. */
import t from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import type { Job, KillOutcome } from '../../src/pool/job.ts';
import { killForJob } from '../../src/pool/kill-for-job.ts';
import { jobOfType } from './job-of-type.ts';

const outcome: KillOutcome = { kind: 'time-limit', limitSeconds: 1, stack: null };

class FakeChild {
  readonly jobs = new Map<number, Job>();
  readonly done: string[] = [];
  killed: ChildHandle['killed'] = null;
  heardBytes = 0;
  /** It can be stopped, and what it had said by then is heard some time later. */
  canFreeze = true;
  /** What is in its pipe: heard one by one, a turn of the event loop apart. */
  unheard: (() => void)[] = [];

  job(): Job {
    const job = jobOfType('tasks.any');
    job.child = this as unknown as ChildHandle;
    job.startedAtMs = 1;
    this.jobs.set(job.id, job);
    return job;
  }

  async freeze(): Promise<boolean> {
    if (!this.canFreeze) return false;
    this.done.push('freeze');
    const hear = (): void => {
      const next = this.unheard.shift();
      if (next === undefined) return;
      this.heardBytes += 10;
      next();
      setTimeout(hear, 1);
    };
    setTimeout(hear, 1);
    return true;
  }

  thaw(): void {
    this.done.push('thaw');
  }

  kill(signal: NodeJS.Signals): void {
    this.done.push(signal);
  }
}

t.test('stopped, heard out, killed', async (t) => {
  const child = new FakeChild();
  const job = child.job();
  child.unheard = [() => {}, () => {}, () => {}];
  const certain = (): void => void child.done.push('certain');
  t.equal(await killForJob({ job, outcome, onCertain: certain }), true);
  t.same(child.done, ['freeze', 'certain', 'SIGKILL']);
  t.same(child.unheard, [], 'all it had said was heard before');
  t.same(child.killed, { job, outcome });
});

t.test('another signal reaches it when it goes on', async (t) => {
  const child = new FakeChild();
  t.equal(await killForJob({ job: child.job(), outcome, signal: 'SIGTERM' }), true);
  t.same(child.done, ['freeze', 'SIGTERM', 'thaw']);
});

t.test('its end was in the pipe: nothing is done to the child, which is at another task by now', async (t) => {
  const child = new FakeChild();
  const job = child.job();
  child.unheard = [() => {}, () => {}, () => child.jobs.delete(job.id)];
  const certain = (): void => void t.fail('it is not to be killed');
  t.equal(await killForJob({ job, outcome, onCertain: certain }), false);
  t.same(child.done, ['freeze', 'thaw']);
  t.equal(child.killed, null);
});

t.test('not started, given back, or sent again: not its child', async (t) => {
  const child = new FakeChild();
  const job = child.job();
  job.startedAtMs = 0;
  t.equal(await killForJob({ job, outcome }), false);
  job.child = null;
  t.equal(await killForJob({ job, outcome }), false);
  const other = child.job();
  other.startedAtMs = 1;
  child.jobs.clear();
  t.equal(await killForJob({ job: other, outcome }), false);
  t.same(child.done, []);
});

t.test('two at a time do not get in each other’s way: the first ends it', async (t) => {
  const child = new FakeChild();
  const job = child.job();
  t.same(await Promise.all([killForJob({ job, outcome }), killForJob({ job, outcome })]), [true, false]);
  t.same(child.done, ['freeze', 'SIGKILL']);
});

t.test('a child that cannot be stopped is killed as it is', async (t) => {
  const child = new FakeChild();
  child.canFreeze = false;
  t.equal(await killForJob({ job: child.job(), outcome }), true);
  t.same(child.done, ['SIGKILL']);
});
