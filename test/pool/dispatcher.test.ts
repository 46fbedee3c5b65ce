/** Which child gets which job: with children in name only, so that the order of what is heard is the test's. */
import t from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { Dispatcher } from '../../src/pool/dispatcher.ts';
import { Job, type JobListener } from '../../src/pool/job.ts';
import { StartGate } from '../../src/pool/start-gate.ts';
import { Tenure } from '../../src/pool/tenure.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const listener: JobListener = { onStarted() {}, onSucceeded() {}, onEnded() {}, onWorkerLost() {}, onReturned() {} };

function job(id: number): Job {
  return new Job({ id, taskName: 'tasks.add', taskId: `task-${id}`, meta: '{}', body: Buffer.alloc(0), listener });
}

/** Takes jobs and keeps them. */
class IdleChild {
  readonly state = 'ready';
  readonly jobs = new Map<number, Job>();
  readonly tenure = new Tenure();
  /** With each job. */
  readonly startBefore: number[] = [];

  run(given: Job, startBeforeMs: number): void {
    this.jobs.set(given.id, given);
    this.startBefore.push(startBeforeMs);
  }

  oldestStarted(): Job | undefined {
    return undefined;
  }
}

interface Bench {
  readonly dispatcher: Dispatcher;
  readonly children: IdleChild[];
  readonly clock: FakeClock;
  readonly log: RecordingLog;
  heldUntilMs: number;
}

function bench(count: number): Bench {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const children = Array.from({ length: count }, () => new IdleChild());
  const byIndex = new Map(children.map((child, at) => [at + 1, child as unknown as ChildHandle]));
  const gate = new StartGate({ heldUntilMs: () => made.heldUntilMs, clock, log });
  const dispatcher = new Dispatcher({ slots: 1, fair: false, children: byIndex, others: () => [], gate, onUsed() {}, onSuspect() {} });
  const made: Bench = { children, dispatcher, clock, log, heldUntilMs: Number.POSITIVE_INFINITY };
  return made;
}

const held = ({ children }: Bench): number[][] => children.map(({ jobs }) => [...jobs.keys()]);
const said = ({ log }: Bench): string[] => log.lines.map(({ level, event }) => `${level} ${event}`);

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
  busy.run(job(1), Number.POSITIVE_INFINITY);
  dispatcher.resubmit([job(2)], busy as unknown as ChildHandle);
  t.same([...busy.jobs.keys()], [1]);
});

t.test('a job carries the time up to which it is certainly ours', async (t) => {
  const place = bench(1);
  place.heldUntilMs = 500;
  place.dispatcher.submit(job(1));
  t.same(place.children[0]?.startBefore, [500]);
  t.same(said(place), [], 'nothing to say as long as all is well');
});

t.test('past that time nothing is started, by no way in, until it has moved on', async (t) => {
  const place = bench(2);
  const { dispatcher, children, clock } = place;
  const [first, second] = children as [IdleChild, IdleChild];
  place.heldUntilMs = 500;
  dispatcher.submit(job(1));
  clock.advance(500);
  dispatcher.submit(job(2));
  dispatcher.submit(job(3));
  t.same(held(place), [[1], []], 'a new job waits');
  first.jobs.clear();
  dispatcher.fill(first as unknown as ChildHandle);
  t.same(held(place), [[], []], 'room changes nothing');
  dispatcher.resubmit([job(4)], first as unknown as ChildHandle);
  t.same(held(place), [[], []], 'nor what comes back from a child');
  dispatcher.held();
  t.same(held(place), [[], []], 'nor a word that came too late');
  t.same(said(place), ['warning pool.held-back'], 'said once');
  place.heldUntilMs = 900;
  dispatcher.held();
  t.same(held(place), [[4], [2]], 'as many as there is room for, in order');
  t.same([first.startBefore.at(-1), second.startBefore.at(-1)], [900, 900]);
  t.same(said(place), ['warning pool.held-back', 'info pool.held']);
  first.jobs.clear();
  dispatcher.fill(first as unknown as ChildHandle);
  t.same(held(place), [[3], [2]]);
  clock.advance(400);
  dispatcher.submit(job(5));
  second.jobs.clear();
  dispatcher.fill(second as unknown as ChildHandle);
  t.same(said(place).slice(2), ['warning pool.held-back'], 'and again the next time');
});

t.test('what was lost meanwhile can be taken out while all is held back', async (t) => {
  const place = bench(1);
  place.heldUntilMs = 0;
  for (const id of [1, 2, 3]) place.dispatcher.submit(job(id));
  const taken = place.dispatcher.takeWaiting(({ id }) => id !== 2);
  t.same(
    taken.map(({ id }) => id),
    [1, 3],
  );
  place.heldUntilMs = 100;
  place.dispatcher.held();
  t.same(held(place), [[2]]);
});
