import t from 'tap';
import { LamportClock } from '../../src/std/lamport-clock.ts';

t.test('own events count by one, those of others move it behind them', async (t) => {
  const clock = new LamportClock();
  t.equal(clock.forward(), 1);
  t.equal(clock.adjust(10), 11);
  t.equal(clock.adjust(3), 12, 'seen, so later');
  t.equal(clock.value, 12);
  for (const strange of [null, undefined, '7', 1.5, -1, Number.NaN, 2 ** 60]) t.equal(clock.adjust(strange), 12);
});
