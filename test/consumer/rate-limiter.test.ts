/** What waits for its rate limit: how long, in which order, what ends the waiting, and what is said. */
import t from 'tap';
import { type Held, RateLimiter } from '../../src/consumer/rate-limiter.ts';
import { Request } from '../../src/consumer/request.ts';
import { Job } from '../../src/pool/job.ts';
import type { TaskHeader } from '../../src/protocol/task-message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import type { RateLimit } from '../../src/std/rate-limit.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { settled, taskOffer } from './doubles.ts';

function bench({
  limits = {},
  reserve = 100,
  disabled = false,
}: {
  limits?: Record<string, RateLimit>;
  reserve?: number;
  disabled?: boolean;
} = {}) {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const submitted: { readonly id: string; readonly atMs: number }[] = [];
  const returned: string[] = [];
  const unwanted = new Set<string>();
  const discarded: string[] = [];
  const setAside: number[] = [];
  const limiter = new RateLimiter({
    clock,
    disabled,
    reserve,
    log,
    discarded: ({ job }) => {
      if (unwanted.has(job.taskId)) discarded.push(job.taskId);
      return unwanted.has(job.taskId);
    },
    submit: (job) => submitted.push({ id: job.taskId, atMs: clock.monotonic() }),
    onChange: () => setAside.push(limiter.setAside),
  });
  limiter.configure(new Map(Object.entries(limits).map(([name, rateLimit]) => [name, taskOffer(name, { rateLimit })])));
  const come = (id: string, taskName = 'tasks.slow'): Held => {
    const header = { id, retries: 0, task: taskName, shadow: null, ignoreResult: null } as unknown as TaskHeader;
    const listener = { onReturned: (request: Request) => void returned.push(request.header.id) } as never;
    const request = new Request({ delivery: {} as never, header, offer: taskOffer(taskName), listener });
    const job = new Job({ id: 1, taskName, taskId: id, meta: '', body: '', listener: request });
    if (!limiter.takes({ request, job })) submitted.push({ id, atMs: clock.monotonic() });
    return { request, job };
  };
  const ids = (): string[] => submitted.map(({ id }) => id);
  return { clock, log, limiter, come, ids, submitted, returned, unwanted, discarded, setAside };
}

t.test('one at once, the others in order and in their time; other types are not kept waiting', async (t) => {
  const { clock, come, submitted, ids, limiter } = bench({ limits: { 'tasks.slow': '100/m' } });
  for (const id of ['a', 'b', 'c']) come(id);
  come('free', 'tasks.free');
  t.strictSame(ids(), ['a', 'free']);
  clock.advance(599);
  t.strictSame(ids(), ['a', 'free']);
  clock.advance(1201);
  t.strictSame(ids(), ['a', 'free', 'b', 'c']);
  t.strictSame(
    submitted.slice(2).map(({ atMs }) => atMs),
    [600, 1200],
  );
  t.equal(limiter.waiting, 0);
  t.equal(clock.pending, 0, 'no timer when nothing waits');
});

t.test('nobody comes before those that wait, though the timer of the first is late', async (t) => {
  const { clock, come, ids } = bench({ limits: { 'tasks.slow': 3 } });
  for (const id of ['a', 'b']) come(id);
  // The token is there after a third of a second, and a timer rings in whole milliseconds.
  clock.advance(333.5);
  come('c');
  t.strictSame(ids(), ['a']);
  clock.advance(0.5);
  t.strictSame(ids(), ['a', 'b']);
  clock.advance(400);
  t.strictSame(ids(), ['a', 'b', 'c']);
});

t.test('after a pause one may start at once, and not more: there is no burst', async (t) => {
  const { clock, come, ids } = bench({ limits: { 'tasks.slow': 10 } });
  clock.advance(60_000);
  for (const id of ['a', 'b', 'c']) come(id);
  t.strictSame(ids(), ['a']);
  clock.advance(100);
  t.strictSame(ids(), ['a', 'b']);
});

t.test('nothing overtakes what waits', async (t) => {
  const { clock, come, ids } = bench({ limits: { 'tasks.slow': 10 } });
  come('a');
  come('b');
  clock.advance(50);
  come('c');
  clock.advance(50);
  come('d');
  t.strictSame(ids(), ['a', 'b']);
  clock.advance(200);
  t.strictSame(ids(), ['a', 'b', 'c', 'd']);
});

t.test('each type has a bucket of its own; 0 and no limit are none', async (t) => {
  const { come, ids, limiter } = bench({ limits: { 'tasks.slow': 1, 'tasks.other': '1/h', 'tasks.none': 0, 'tasks.empty': '' } });
  for (const name of ['tasks.slow', 'tasks.other', 'tasks.none', 'tasks.none', 'tasks.empty', 'tasks.empty']) come(name, name);
  t.equal(ids().length, 6);
  t.strictSame(
    [...limiter.limits],
    [
      ['tasks.slow', 1],
      ['tasks.other', '1/h'],
    ],
  );
});

t.test('the wall clock does not matter', async (t) => {
  const { clock, come, ids } = bench({ limits: { 'tasks.slow': '1/m' } });
  come('a');
  come('b');
  clock.jumpTo(clock.now() + 3_600_000);
  clock.advance(59_999);
  t.strictSame(ids(), ['a']);
  clock.jumpTo(clock.now() - 7_200_000);
  clock.advance(1);
  t.strictSame(ids(), ['a', 'b']);
});

t.test('a limit that is changed counts for what waits as well', async (t) => {
  const { clock, come, ids, limiter, log } = bench({ limits: { 'tasks.slow': '1/h' } });
  for (const id of ['a', 'b', 'c', 'd']) come(id);
  limiter.setLimit('tasks.slow', '1/s');
  clock.advance(999);
  t.strictSame(ids(), ['a']);
  clock.advance(1);
  t.strictSame(ids(), ['a', 'b']);
  limiter.setLimit('tasks.slow', '1/m');
  clock.advance(59_999);
  t.strictSame(ids(), ['a', 'b']);
  clock.advance(1);
  t.strictSame(ids(), ['a', 'b', 'c']);
  limiter.setLimit('tasks.slow', 0);
  t.strictSame(ids(), ['a', 'b', 'c', 'd'], 'without one, all go on at once');
  come('e');
  t.equal(ids().length, 5);
  t.equal(clock.pending, 0);
  t.equal(limiter.limits.size, 0);
  limiter.setLimit('tasks.free', 5);
  come('f', 'tasks.free');
  come('g', 'tasks.free');
  t.equal(ids().at(-1), 'f', 'a type that had none');
  t.throws(() => limiter.setLimit('tasks.slow', '10/d'), /must be a rate .* got 10\/d/);
  t.strictSame(
    log.lines.filter(({ event }) => event === 'rate-limit.changed').map(({ message }) => message),
    [
      'New rate limit for tasks of type tasks.slow: 1/s.',
      'New rate limit for tasks of type tasks.slow: 1/m.',
      'Rate limits disabled for tasks of type tasks.slow',
      'New rate limit for tasks of type tasks.free: 5.',
    ],
  );
});

t.test('what expired or was revoked meanwhile takes no token', async (t) => {
  const { clock, come, ids, unwanted, discarded } = bench({ limits: { 'tasks.slow': 1 } });
  for (const id of ['a', 'b', 'c', 'd']) come(id);
  unwanted.add('b').add('d');
  clock.advance(1000);
  t.strictSame(
    [ids(), discarded],
    [
      ['a', 'c'],
      ['b', 'd'],
    ],
  );
  t.equal(clock.pending, 0);
});

t.test('without limits any more, what is not wanted does not go on either', async (t) => {
  const { come, ids, limiter, unwanted, discarded } = bench({ limits: { 'tasks.slow': '1/h' } });
  for (const id of ['a', 'b', 'c']) come(id);
  unwanted.add('b');
  limiter.setLimit('tasks.slow', 0);
  t.strictSame([ids(), discarded], [['a', 'c'], ['b']]);
});

t.test('taken out: those that match, and the others keep their order and time', async (t) => {
  const { clock, come, ids, limiter, returned } = bench({ limits: { 'tasks.slow': 1, 'tasks.other': 1 } });
  const held = ['a', 'b', 'c', 'd'].map((id) => come(id));
  come('x', 'tasks.other');
  come('y', 'tasks.other');
  t.strictSame(
    limiter.takeWaiting(({ job }) => job.taskId === 'c').map(({ job }) => job.taskId),
    ['c'],
  );
  held[1]!.job.withdrawn = true;
  limiter.withdraw();
  t.strictSame(returned, ['b'], 'what is no longer ours is given back');
  t.equal(limiter.waiting, 2);
  clock.advance(1000);
  t.strictSame(ids(), ['a', 'x', 'd', 'y']);
});

t.test('quiet: all that wait are given back in order, and nothing waits here any more', async (t) => {
  const { clock, come, ids, limiter, returned } = bench({ limits: { 'tasks.slow': '1/h' } });
  for (const id of ['a', 'b', 'c']) come(id);
  limiter.quiet();
  t.strictSame(returned, ['b', 'c']);
  t.equal(clock.pending, 0);
  come('d');
  t.strictSame(ids(), ['a', 'd'], 'the pool gives it back');
  limiter.quiet();
  t.equal(limiter.waiting, 0);
});

t.test('so many of those that wait are set aside as the reserve allows, and that is said once', async (t) => {
  const { clock, come, limiter, log, setAside } = bench({ limits: { 'tasks.slow': 1 }, reserve: 4 });
  const full = (): number => log.lines.filter(({ event }) => event === 'consumer.limited').length;
  for (let index = 0; index < 4; index += 1) come(`a${index}`);
  await settled();
  t.equal(limiter.setAside, 3);
  t.equal(full(), 0);
  for (let index = 0; index < 4; index += 1) come(`b${index}`);
  await settled();
  t.equal(limiter.waiting, 7);
  t.equal(limiter.setAside, 4);
  t.strictSame(setAside, [3, 4], 'told once in a turn');
  t.equal(full(), 1);
  for (let second = 0; second < 6; second += 1) {
    clock.advance(1000);
    await settled();
  }
  t.strictSame(setAside, [3, 4, 4, 4, 4, 3, 2, 1]);
  for (let index = 0; index < 4; index += 1) come(`c${index}`);
  t.equal(full(), 2, 'again, after it was less for a while');
});

t.test('disabled: no limit is kept, one that is set neither', async (t) => {
  const { come, ids, limiter, log } = bench({ limits: { 'tasks.slow': '1/h' }, disabled: true });
  come('a');
  come('b');
  limiter.setLimit('tasks.slow', '1/m');
  come('c');
  t.strictSame(ids(), ['a', 'b', 'c']);
  t.match(log.lines[0]?.message, /1\/m\. It is not kept: worker\.disable_rate_limits is on/);
});

t.test('thousands that wait at a high rate all go on, in order', async (t) => {
  const { clock, come, ids } = bench({ limits: { 'tasks.slow': 5000 }, reserve: 10 });
  const all = Array.from({ length: 5001 }, (_, index) => `${index}`);
  for (const id of all) come(id);
  clock.advance(1001);
  t.strictSame(ids(), all);
});

t.test('a limit that was set before the types of the tasks are known counts more than theirs', async (t) => {
  const { limiter } = bench({ limits: {} });
  limiter.setLimit('tasks.slow', '5/s');
  limiter.setLimit('tasks.free', 0);
  const offers = { 'tasks.slow': '10/m', 'tasks.free': '1/m', 'tasks.other': '7/m' };
  limiter.configure(new Map(Object.entries(offers).map(([name, rateLimit]) => [name, taskOffer(name, { rateLimit })])));
  t.same(
    [...limiter.limits],
    [
      ['tasks.slow', '5/s'],
      ['tasks.other', '7/m'],
    ],
  );
});

t.test('the limits that something waits for', async (t) => {
  const { limiter, come, clock } = bench({ limits: { 'tasks.a': '1/s', 'tasks.b': '2/s', 'tasks.c': '3/s' } });
  come('1', 'tasks.b');
  t.same([...limiter.waitingLimits], []);
  come('2', 'tasks.b');
  t.same([...limiter.waitingLimits], [['tasks.b', '2/s']]);
  clock.advance(1000);
  t.same([...limiter.waitingLimits], []);
});
