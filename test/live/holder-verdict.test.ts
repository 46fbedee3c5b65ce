/** The judge of the chaos run: what it allows, and no more. */
import t from 'tap';
import { judge, type Standstill } from './holder-verdict.ts';
import type { RunLine } from './run-log.ts';

const start = (worker: number, atMs: number, more: Partial<RunLine> = {}): RunLine => ({
  what: 'start',
  taskId: 'a',
  kind: 'umbel',
  worker,
  child: worker + 1,
  redelivered: false,
  atMs,
  lookedAtMs: atMs - 0.1,
  ...more,
});

const standstill: Standstill = { pid: 10, children: [11], fromMs: 1000, toMs: 9000 };

function verdictOf(lines: readonly RunLine[], killedAtMs: ReadonlyMap<number, number> = new Map()): Record<string, number> {
  const { caught, doubled, unmarked, repeats } = judge({
    lines,
    killedAtMs,
    standstills: [standstill],
    shortestLeaseMs: 3000,
    visibilityTimeoutMs: 10_000,
  });
  return { repeats, caught, doubled: doubled.length, unmarked: unmarked.length };
}

t.test('a repeat after the death of its holder, marked or not', async (t) => {
  const killed = new Map([[20, 500]]);
  const again = start(30, 600, { redelivered: true });
  t.same(verdictOf([start(20, 400), again], killed), { repeats: 1, caught: 0, doubled: 0, unmarked: 0 });
  t.same(verdictOf([start(20, 400), start(30, 600)], killed), { repeats: 1, caught: 0, doubled: 0, unmarked: 1 });
  t.same(verdictOf([start(20, 400), again]), { repeats: 1, caught: 0, doubled: 1, unmarked: 0 }, 'its holder lives');
});

t.test('a child that was stopped between its look and its first line', async (t) => {
  const heir = start(20, 8000, { redelivered: true });
  t.same(verdictOf([heir, start(10, 9001, { lookedAtMs: 999 })]), { repeats: 1, caught: 1, doubled: 0, unmarked: 0 });
  t.same(
    verdictOf([heir, start(10, 9001, { lookedAtMs: 9000.5 })]),
    { repeats: 1, caught: 0, doubled: 1, unmarked: 1 },
    'it looked after it went on',
  );
  t.same(
    verdictOf([heir, start(10, 9001, { lookedAtMs: 999, child: 12 })]),
    { repeats: 1, caught: 0, doubled: 1, unmarked: 1 },
    'another child',
  );
  t.same(verdictOf([heir, start(10, 9001, { lookedAtMs: null })]), { repeats: 1, caught: 0, doubled: 1, unmarked: 1 }, 'it says nothing');
});
