/** When limits are over, on a clock that stands still. */
import t from 'tap';
import type { Job } from '../../src/pool/job.ts';
import { TaskDeadlines } from '../../src/pool/task-deadlines.ts';
import { type TimeLimit, TimeLimits } from '../../src/pool/time-limits.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { jobOfType } from './job-of-type.ts';

function open(limit: TimeLimit) {
  const clock = new FakeClock();
  const said: string[] = [];
  const names = new Map<Job, string>();
  const say = (what: string, job: Job): void => void said.push(`${what} ${names.get(job)} at ${clock.monotonic()}`);
  const deadlines = new TaskDeadlines({
    limits: new TimeLimits(limit),
    clock,
    onSoft: (job, { softSeconds }) => say(`soft ${softSeconds}`, job),
    onHardNear: (job) => say('near', job),
    onHard: (job, seconds) => say(`hard ${seconds}`, job),
  });
  const start = (name: string, own: TimeLimit | null = null): Job => {
    const job = jobOfType('any', own);
    names.set(job, name);
    deadlines.started(job);
    return job;
  };
  return { clock, said, deadlines, start };
}

t.test('soft, then near, then hard', (t) => {
  const { clock, said, start, deadlines } = open({ hardSeconds: 10, softSeconds: 6 });
  start('a');
  clock.advance(1000);
  start('b');
  clock.advance(20_000);
  t.same(said, ['soft 6 a at 6000', 'soft 6 b at 7000', 'near a at 8000', 'near b at 9000', 'hard 10 a at 10000', 'hard 10 b at 11000']);
  t.equal(deadlines.size, 0);
  t.equal(clock.pending, 0);
  t.end();
});

t.test('a soft limit alone, a hard one alone, a soft one that is not below the hard one', (t) => {
  const { clock, said, start } = open({ hardSeconds: null, softSeconds: null });
  start('soft', { hardSeconds: null, softSeconds: 1 });
  start('hard', { hardSeconds: 2, softSeconds: null });
  start('late', { hardSeconds: 3, softSeconds: 3 });
  start('free');
  clock.advance(10_000);
  t.same(said, ['soft 1 soft at 1000', 'near hard at 1000', 'near late at 1500', 'hard 2 hard at 2000', 'hard 3 late at 3000']);
  t.end();
});

t.test('a task that has ended is left alone, and without a limit there is no timer', (t) => {
  const { clock, said, deadlines, start } = open({ hardSeconds: 4, softSeconds: null });
  const first = start('first');
  start('second');
  t.equal(clock.pending, 1, 'one timer for all');
  deadlines.ended(first);
  deadlines.ended(first);
  clock.advance(10_000);
  t.same(said, ['near second at 2000', 'hard 4 second at 4000']);
  open({ hardSeconds: null, softSeconds: null }).start('free');
  t.equal(open({ hardSeconds: null, softSeconds: null }).clock.pending, 0);
  t.end();
});

t.test('a shorter limit that comes later is not kept waiting by a longer one', (t) => {
  const { clock, said, start } = open({ hardSeconds: 100, softSeconds: null });
  start('long');
  clock.advance(500);
  start('short', { hardSeconds: 1, softSeconds: null });
  clock.advance(2000);
  t.same(said, ['near short at 1000', 'hard 1 short at 1500']);
  t.end();
});

t.test('short tasks under a limit: the timer is armed once in a while, not for each', (t) => {
  const { clock, deadlines, start } = open({ hardSeconds: 10, softSeconds: null });
  let armed = 0;
  const { setTimer } = clock;
  clock.setTimer = (...args) => {
    armed += 1;
    return setTimer.apply(clock, args);
  };
  for (let count = 0; count < 20_000; count += 1) {
    const job = start('short');
    clock.advance(1);
    deadlines.ended(job);
  }
  t.ok(armed <= 4, `20 seconds of tasks, got ${armed} timers`);
  t.end();
});

t.test('stopped: nothing comes any more', (t) => {
  const { clock, said, deadlines, start } = open({ hardSeconds: 1, softSeconds: null });
  start('a');
  deadlines.stop();
  clock.advance(10_000);
  t.same(said, []);
  t.end();
});

t.test('the wall clock does not matter', (t) => {
  const { clock, said, start } = open({ hardSeconds: 10, softSeconds: 6 });
  start('a');
  clock.jumpTo(clock.now() + 3_600_000);
  clock.advance(5999);
  t.same(said, []);
  clock.advance(1);
  clock.jumpTo(clock.now() - 7_200_000);
  clock.advance(3999);
  t.same(said, ['soft 6 a at 6000', 'near a at 8000']);
  clock.advance(1);
  t.same(said.slice(2), ['hard 10 a at 10000']);
  t.end();
});
