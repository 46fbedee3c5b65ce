/** Signs of life for systemd: at once, then at half of what it allows, until stopped; none when it asks for none, and none of a worker that cannot help itself. */
import t from 'tap';
import { Watchdog } from '../../src/node/watchdog.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

function scene(watchdogIntervalMs: number | null) {
  const clock = new FakeClock();
  const seen = { signs: 0, helpless: false };
  const log = new RecordingLog();
  const watchdog = new Watchdog({
    notify: { watchdogIntervalMs, watchdog: () => Boolean(++seen.signs) },
    isHelpless: () => seen.helpless,
    log,
    clock,
  });
  return { clock, seen, watchdog, log };
}

t.test('one at once and one per interval, until it is stopped', async (t) => {
  const { clock, seen, watchdog, log } = scene(1500);
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
  t.same(log.lines, []);
});

t.test('none while nothing is delivered and nothing can be done about it; said once', async (t) => {
  const { clock, seen, watchdog, log } = scene(1500);
  await watchdog.start();
  seen.helpless = true;
  clock.advance(6000);
  t.equal(seen.signs, 1);
  t.match(log.lines, [{ level: 'error', event: 'worker.no-sign-of-life' }]);
  t.equal(log.lines.length, 1);
  seen.helpless = false;
  clock.advance(1500);
  t.equal(seen.signs, 2, 'messages come again');
  seen.helpless = true;
  clock.advance(1500);
  t.equal(log.lines.length, 2, 'said again the next time');
  await watchdog.stop();
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
