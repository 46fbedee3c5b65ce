/** Time limits, on every pool. Soft: how the task hears of it, and that it can clean up. Hard: that the task ends, where the pool can end it. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { BenchOptions, PoolBench, Run } from './pool-bench.ts';

type PoolTest = (title: string, options: BenchOptions, body: (t: Test, bench: PoolBench) => Promise<void>) => void;

const file = join(import.meta.dirname, 'fixture/soft/tasks.ts');
const soft = { taskPaths: [file] };

/** A line of the stack: the first line of the file, after the task begins, that has this text. */
function at(task: string, text: string): RegExp {
  const lines = readFileSync(file, 'utf8').split('\n');
  const begin = lines.findIndex((line) => line.startsWith(`export const ${task} `));
  const line = lines.findIndex((one, index) => index > begin && one.includes(text)) + 1;
  return new RegExp(`SoftTimeLimitExceeded\\n +at .*soft/tasks\\.ts:${line}:`);
}
/** Short, and with a hard one behind it: a child is killed only in the tests of that. */
const limit = { softTimeLimitSeconds: 0.15, hardTimeLimitSeconds: 60 };

export function softLimitSuite(test: PoolTest): void {
  test('a soft time limit is told once, where the task waits, and it can clean up', soft, async (t, { run, value, states, log }) => {
    const told = { soft: true, limit: 0.15, isReason: true, aborted: true };
    const expected: readonly (readonly [string, string, RegExp | null])[] = [
      ['sleeps', 'slept', at('sleeps', 'await sleep(')],
      ['loops', 'looped in order', at('loops', 'await tick()')],
      ['listens', 'listened', null],
      ['polls', 'polled', null],
      ['holdsSignal', 'held true', at('holdsSignal', 'await tick()')],
    ];
    for (const [task, what, where] of expected) {
      const ran = run(task, [], limit);
      const end = await ran.end;
      t.match(end, { kind: 'succeeded', value: { ...told, what } }, task);
      if (where !== null) t.match((end as { value: { at: string } }).value.at, where);
      const line = log.lines.find(({ event, fields }) => event === 'task.soft-limit' && fields?.taskId === ran.job.taskId);
      t.match(line, { level: 'warning', message: `Soft time limit (0.15s) exceeded for tasks.${task}[${ran.job.taskId}]` });
    }
    t.match(states, [{ meta: { state: 'CLEANED' } }], 'its context works while it cleans up');
    t.same(await value('awaits'), [false, true, true], 'and nothing of it stays behind');
  });

  test('a soft time limit ends a request of fetch', soft, async (t, { run }) => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.closeAllConnections());
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const end = await run('fetches', [`http://127.0.0.1:${port}/`], limit).end;
    t.match(end, { kind: 'succeeded', value: { what: 'fetched', soft: true, isReason: true } });
  });

  test('a soft time limit that is not caught is the failure of the task', soft, async (t, { run }) => {
    const failure = {
      kind: 'ended',
      value: { exc_type: 'SoftTimeLimitExceeded', exc_message: [], exc_module: 'billiard.exceptions' },
      meta: { kind: 'failed', text: 'SoftTimeLimitExceeded()' },
    };
    t.match(await run('catchesNothing', [], limit).end, { ...failure, meta: { traceback: /soft.tasks\.ts:\d+/ } });
    t.match(await run('givesSignal', [], limit).end, failure, 'also behind the AbortError of Node');
  });

  test('code that nobody waits for does not keep the soft limit from the task', soft, async (t, { run, log, value }) => {
    t.match(await run('leavesBehind', [], limit).end, { value: { what: 'left', soft: true } });
    t.ok(log.lines.some(({ event }) => event === 'task.soft-limit-stray'));
    t.notOk(log.lines.some(({ event }) => event === 'child.uncaught'));
    t.same(await value('awaits'), [false, true, true]);
  });

  test('within their limits tasks hear nothing', soft, async (t, { run, log }) => {
    // Not the short one: a machine that stands still for so long would not have kept to it.
    const within = { softTimeLimitSeconds: 30, hardTimeLimitSeconds: 60 };
    const runs: Run[] = Array.from({ length: 20 }, () => run('awaits', [], within));
    for (const { end } of runs) t.match(await end, { kind: 'succeeded', value: [false, true, true] });
    t.notOk(log.lines.some(({ event }) => event.startsWith('task.soft-limit')));
  });
}

export function hardLimitSuite(test: PoolTest): void {
  test('a hard time limit ends a task that never yields, and only it', { concurrency: 2 }, async (t, { run, value, gates, log }) => {
    const beside = run('mostlyShort', [gates.path, 'beside']);
    const arrival = await gates.arrival('beside');
    const spinning = run('spinUntil', [gates.path, '/nonexistent/file'], { hardTimeLimitSeconds: 1 });
    // Not waited for: where the limit is over before it has come, it does not come.
    void gates.arrival('spinning').then(
      (gate) => gate.open(),
      () => {},
    );
    const end = await spinning.end;
    t.match(end, { kind: 'lost', exit: { killed: { outcome: { kind: 'time-limit', limitSeconds: 1 } } } });
    t.equal(end.kind === 'lost' && end.exit.killed?.job, spinning.job);
    t.match(await log.event('task.hard-limit'), { level: 'error', message: /^Hard time limit \(1s\) exceeded for tasks\.spinUntil/ });
    arrival.open('unharmed');
    t.match(await beside.end, { value: 'unharmed' });
    t.equal(await value('add', [1, 2]), 3);
  });
}
