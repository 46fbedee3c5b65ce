/** Which child gets which job: with children in name only, so that the order of what is heard is the test's. */
import t from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { Dispatcher } from '../../src/pool/dispatcher.ts';
import { Job, type JobListener } from '../../src/pool/job.ts';

const listener: JobListener = { onStarted() {}, onSucceeded() {}, onEnded() {}, onWorkerLost() {}, onReturned() {} };

function job(id: number): Job {
  return new Job({ id, taskName: 'tasks.add', taskId: `task-${id}`, meta: '{}', body: Buffer.alloc(0), listener });
}

/** Takes jobs and keeps them. */
class IdleChild {
  readonly state = 'ready';
  readonly jobs = new Map<number, Job>();

  run(given: Job): void {
    this.jobs.set(given.id, given);
  }

  oldestStarted(): Job | undefined {
    return undefined;
  }
}

function bench(count: number): { dispatcher: Dispatcher; children: IdleChild[] } {
  const children = Array.from({ length: count }, () => new IdleChild());
  const byIndex = new Map(children.map((child, at) => [at + 1, child as unknown as ChildHandle]));
  return { children, dispatcher: new Dispatcher({ slots: 1, fair: false, children: byIndex }) };
}

t.test('jobs recalled from a child that has become idle meanwhile go back to it when nobody else can take them', async (t) => {
  const { dispatcher, children } = bench(1);
  const [only] = children as [IdleChild];
  dispatcher.resubmit([job(1), job(2)], only as unknown as ChildHandle);
  t.same([...only.jobs.keys()], [1], 'as much as it has slots for');
});

t.test('other children come first', async (t) => {
  const { dispatcher, children } = bench(2);
  const [from, other] = children as [IdleChild, IdleChild];
  dispatcher.resubmit([job(1)], from as unknown as ChildHandle);
  t.same([[...from.jobs.keys()], [...other.jobs.keys()]], [[], [1]]);
});

t.test('a child that is still busy gets nothing back', async (t) => {
  const { dispatcher, children } = bench(1);
  const [busy] = children as [IdleChild];
  busy.run(job(1));
  dispatcher.resubmit([job(2)], busy as unknown as ChildHandle);
  t.same([...busy.jobs.keys()], [1]);
});
