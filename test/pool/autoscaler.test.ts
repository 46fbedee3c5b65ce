/** How many children the load asks for: on a clock of the test's, with a pool that is two numbers. */
import t, { type Test } from 'tap';
import { type AutoscaleFunction, Autoscaler } from '../../src/pool/autoscaler.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

interface Options {
  readonly max?: number;
  readonly min?: number;
  readonly slots?: number;
  readonly decide?: AutoscaleFunction;
}

async function bench(t: Test, { max = 10, min = 3, slots = 1, decide }: Options = {}) {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const pool = { size: Math.max(1, min), jobs: 0, sizes: [] as number[] };
  const scaler = new Autoscaler({
    max,
    min,
    slots,
    keepaliveMs: 30_000,
    load: decide === undefined ? null : async () => decide,
    clock,
    log,
    size: () => pool.size,
    jobCount: () => pool.jobs,
    resize: (size) => {
      pool.size = size;
      pool.sizes.push(size);
    },
  });
  await scaler.start();
  t.teardown(() => scaler.stop());
  const jobs = (count: number): void => {
    pool.jobs = count;
    scaler.onJob();
  };
  const said = (): string[] => log.lines.map(({ message }) => message);
  return { clock, log, pool, scaler, jobs, said };
}

t.test('up at once, to what is reserved, and no further than the most', async (t) => {
  const { jobs, pool, said } = await bench(t);
  jobs(3);
  t.same(pool.sizes, [], 'enough there are');
  jobs(5);
  jobs(40);
  jobs(41);
  t.same(pool.sizes, [5, 10]);
  t.same(said(), ['Scaling up 2 processes.', 'Scaling up 5 processes.']);
});

t.test('down when there was no growth for 30 s, to what is reserved, and no further than the least', async (t) => {
  const { jobs, pool, said, clock } = await bench(t);
  jobs(8);
  jobs(6);
  clock.advance(29_000);
  jobs(6);
  t.same(pool.sizes, [8], 'too early');
  clock.advance(1001);
  t.same(pool.sizes, [8, 6], 'without any job');
  pool.jobs = 0;
  clock.advance(30_000);
  t.same(pool.sizes, [8, 6, 3]);
  t.same(said(), ['Scaling up 5 processes.', 'Scaling down 2 processes.', 'Scaling down 3 processes.']);
  t.equal(clock.pending, 0, 'as small as may be, it sleeps');
});

t.test('growth puts the end of the rest off', async (t) => {
  const { jobs, pool, clock } = await bench(t);
  jobs(8);
  clock.advance(20_000);
  jobs(9);
  pool.jobs = 0;
  clock.advance(25_000);
  t.equal(pool.size, 9);
  clock.advance(5001);
  t.equal(pool.size, 3);
});

t.test('there is always one', async (t) => {
  const { jobs, pool, clock } = await bench(t, { max: 4, min: 0 });
  jobs(3);
  pool.jobs = 0;
  clock.advance(31_000);
  t.same(pool.sizes, [3, 1]);
});

t.test('children with several places', async (t) => {
  const { jobs, pool } = await bench(t, { max: 4, min: 1, slots: 10 });
  jobs(10);
  t.same(pool.sizes, []);
  jobs(11);
  t.same(pool.sizes, [2]);
});

t.test('another range: obeyed at once', async (t) => {
  const { scaler, pool, jobs } = await bench(t);
  jobs(10);
  t.same(scaler.update(6, null), { max: 6, min: 3 });
  t.equal(pool.size, 6);
  pool.jobs = 0;
  t.same(scaler.update(20, 8), { max: 20, min: 8 });
  t.equal(pool.size, 8);
  t.same(scaler.info, { max: 20, min: 8, current: 8, qty: 0 });
  for (const [max, min] of [
    [2, 5],
    [0, 0],
    [1.5, 1],
    [7, null],
  ] as const)
    t.throws(() => scaler.update(max, min), { code: 'USAGE', message: /must be two integers/ }, `${max},${min}`);
  t.equal(scaler.max, 20, 'what is refused changes nothing');
});

t.test('nothing after the end', async (t) => {
  const { scaler, jobs, pool, clock } = await bench(t);
  jobs(5);
  scaler.stop();
  jobs(9);
  clock.advance(60_000);
  t.same(pool.sizes, [5]);
});

t.test('a module decides: within the range, also downwards at once', async (t) => {
  const asked: unknown[] = [];
  const decide: AutoscaleFunction = (state) => {
    asked.push(state);
    return state.reserved * 2;
  };
  const { jobs, pool, clock } = await bench(t, { decide });
  jobs(2);
  t.same(asked, [{ reserved: 2, processes: 3, min: 3, max: 10 }]);
  jobs(3);
  t.equal(asked.length, 1, 'not with every job');
  clock.advance(99);
  t.equal(asked.length, 1);
  clock.advance(1);
  t.strictSame(asked[1], { reserved: 3, processes: 4, min: 3, max: 10 }, 'but soon of all that came');
  clock.advance(899);
  t.equal(asked.length, 2, 'once');
  clock.advance(1);
  t.same(pool.sizes, [4, 6]);
  pool.jobs = 100;
  clock.advance(1000);
  pool.jobs = 0;
  clock.advance(1000);
  t.same(pool.sizes, [4, 6, 10, 3]);
});

t.test('a module that fails changes nothing, and that is said once', async (t) => {
  let answer: unknown = 'many';
  const decide = (() => {
    if (answer === null) throw new Error('lost');
    return answer;
  }) as () => never;
  const { clock, pool, said } = await bench(t, { decide });
  clock.advance(5000);
  t.same(pool.sizes, []);
  t.match(said(), [/worker\.autoscaler must return an integer, got many/]);
  answer = 5;
  clock.advance(1000);
  t.same(pool.sizes, [5]);
  answer = null;
  clock.advance(2000);
  t.match(said().slice(-1), [/as many children as before: lost/]);
});
