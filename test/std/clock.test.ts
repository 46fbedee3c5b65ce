import { spawnSync } from 'node:child_process';
import t from 'tap';
import { clockOriginMs, FakeClock, systemClock } from '../../src/std/clock.ts';

t.test('the fake clock runs timers in order, each at its own time', async (t) => {
  const clock = new FakeClock(1_000_000);
  const ran: string[] = [];
  const note = (name: string) => () => ran.push(`${name}@${clock.monotonic()}`);
  clock.setTimer(note('late'), 30);
  clock.setTimer(() => {
    note('first')();
    clock.setTimer(note('nested'), 5);
  }, 10);
  clock.setTimer(note('same'), 10);
  clock.clearTimer(clock.setTimer(note('cancelled'), 1));
  clock.advance(20);
  t.same(ran, ['first@10', 'same@10', 'nested@15']);
  t.equal(clock.now(), 1_000_020);
  t.equal(clock.pending, 1);
  clock.advance(10);
  t.equal(ran.at(-1), 'late@30');
});

t.test('the fake clock lets promises run between timers', async (t) => {
  const clock = new FakeClock();
  const ran: number[] = [];
  void (async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => clock.setTimer(resolve, 10));
      ran.push(clock.monotonic());
    }
  })();
  await clock.advanceAsync(25);
  t.same(ran, [10, 20]);
});

t.test('the monotonic clock of the system is the same for all processes of the machine', async (t) => {
  const script = `import { systemClock } from '${import.meta.resolve('../../src/std/clock.ts')}'; process.stdout.write(String(systemClock.monotonic()));`;
  const before = systemClock.monotonic();
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', env: {} });
  t.ok(before < Number(stdout) && Number(stdout) < systemClock.monotonic(), `${before} < ${stdout}`);
});

t.test('a process that stands still while it compares two clocks is no later for it', async (t) => {
  // Passing time, in the order in which the clocks are read: process, machine, process.
  const origin = (passesMs: readonly number[]): number => {
    let atMs = 0;
    const left = [...passesMs];
    const pass = (): number => (atMs += left.shift() ?? 0.001);
    return clockOriginMs(pass, () => 5000 + pass());
  };
  const near = (originMs: number): boolean => originMs >= 5000 && originMs < 5000.02;
  t.ok(near(origin([])));
  t.ok(near(origin([1, 200, 0.001])), 'before it reads the clock of the machine');
  t.ok(near(origin([1, 0.001, 200])), 'after that');
  t.ok(near(origin([1, 70, 70, 1, 0.001, 80, 1, 300])), 'again and again');
  t.equal(origin(Array.from({ length: 3000 }, (_, at) => (at === 1501 ? 0.5 : 1))), 5000.5, 'no two readings are close: the closest');
});

t.test('setting the wall clock moves no timer', async (t) => {
  const clock = new FakeClock();
  let ran = false;
  clock.setTimer(() => {
    ran = true;
  }, 10);
  clock.jumpTo(0);
  t.equal(clock.now(), 0);
  clock.advance(9);
  t.notOk(ran);
  clock.advance(1);
  t.ok(ran);
});

t.test('the system clock takes delays that setTimeout does not', async (t) => {
  let fired = false;
  const timer = systemClock.setTimer(
    () => {
      fired = true;
    },
    40 * 24 * 3600 * 1000,
  );
  await new Promise<void>((resolve) => systemClock.setTimer(resolve, 20));
  systemClock.clearTimer(timer);
  systemClock.clearTimer(undefined);
  t.notOk(fired, 'setTimeout would have fired after 1 ms');
  const before = systemClock.monotonic();
  await new Promise<void>((resolve) => systemClock.setTimer(resolve, 10));
  t.ok(systemClock.monotonic() - before >= 9);
  t.ok(Math.abs(systemClock.now() - Date.now()) < 1000);
});
