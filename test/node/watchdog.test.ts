/** Signs of life for systemd: at once, then at half of what it allows, until stopped; none when it asks for none. */
import t from 'tap';
import { Watchdog } from '../../src/node/watchdog.ts';
import { FakeClock } from '../../src/std/clock.ts';

function scene(watchdogIntervalMs: number | null) {
  const clock = new FakeClock();
  const seen = { signs: 0 };
  const watchdog = new Watchdog({ watchdogIntervalMs, watchdog: () => Boolean(++seen.signs) }, clock);
  return { clock, seen, watchdog };
}

t.test('one at once and one per interval, until it is stopped', async (t) => {
  const { clock, seen, watchdog } = scene(1500);
  await watchdog.stop();
  await watchdog.start();
  t.equal(seen.signs, 1);
  clock.advance(1499);
  t.equal(seen.signs, 1);
  clock.advance(1);
  t.equal(seen.signs, 2);
  clock.advance(3000);
  t.equal(seen.signs, 4);
  await watchdog.stop();
  clock.advance(10_000);
  t.equal(seen.signs, 4);
  t.equal(clock.pending, 0);
});

t.test('started twice is started once', async (t) => {
  const { clock, watchdog } = scene(1500);
  await watchdog.start();
  await watchdog.start();
  t.equal(clock.pending, 1);
});

t.test('nobody asks', async (t) => {
  const { clock, seen, watchdog } = scene(null);
  await watchdog.start();
  t.equal(clock.pending, 0);
  t.equal(seen.signs, 0);
});
