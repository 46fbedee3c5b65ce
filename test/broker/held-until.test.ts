import t from 'tap';
import { HeldUntil } from '../../src/broker/held-until.ts';
import { FakeClock } from '../../src/std/clock.ts';

function made(leaseMs: number): { held: HeldUntil; clock: FakeClock; told: number[] } {
  const clock = new FakeClock();
  const told: number[] = [];
  return { clock, told, held: new HeldUntil({ clock, leaseMs, onHeld: () => told.push(clock.monotonic()) }) };
}

t.test('it ends a margin before the lease: a tenth, and never more than a second', async (t) => {
  const short = made(600);
  short.held.moveTo(600);
  t.equal(short.held.ms, 540);
  const long = made(30_000);
  long.held.moveTo(30_000);
  t.equal(long.held.ms, 29_000);
});

t.test('only a move after it had passed is told, and only when it leads into the future', async (t) => {
  const { held, clock, told } = made(1000);
  t.equal(held.passed, true, 'nothing is held at first');
  held.moveTo(1000);
  t.same(told, [0]);
  clock.advance(899);
  t.equal(held.passed, false);
  held.moveTo(1899);
  t.same(told, [0], 'in good time');
  clock.advance(900);
  t.equal(held.passed, true);
  held.moveTo(1890);
  t.same(told, [0], 'too late again');
  held.moveTo(2799);
  t.same(told, [0, 1799]);
  held.moveTo(Number.NEGATIVE_INFINITY);
  t.equal(held.passed, true);
  t.same(told, [0, 1799]);
});
