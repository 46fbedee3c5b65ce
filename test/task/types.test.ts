/**
 * What TypeScript knows of tasks. Checked by tsc, which fails on an `@ts-expect-error` that has become unnecessary; at run time only
 * the calls inside of `never` would happen, so nothing here runs but the definitions.
 */
import t from 'tap';
import type { AsyncResult } from '../../src/task/async-result.ts';
import { type Task, type TaskHandle, task, taskHandle } from '../../src/task/task.ts';
import type { TaskContext } from '../../src/task/task-context.ts';

/** Exactly the same type, not just assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function assert<_T extends true>(): void {}

const add = task((x: number, y: number) => x + y);
const slow = task({ acksLate: true }, async (name: string, times?: number) => ({ name, times }));
const bound = task({ bind: true, name: 'x' }, async (context, to: string, ...cc: string[]) => [context.id, to, ...cc]);
const boundWithType = task({ bind: true }, (context: TaskContext, n: bigint) => context.retries + Number(n));
const nothing = task(() => {});
const elsewhere = taskHandle<[x: number], string>('proj.f');
const unknownShape = taskHandle('proj.g');

assert<Same<typeof add, Task<[x: number, y: number], number>>>();
assert<Same<typeof slow, Task<[name: string, times?: number | undefined], Promise<{ name: string; times: number | undefined }>>>>();
assert<Same<typeof bound, Task<[to: string, ...cc: string[]], Promise<string[]>>>>();
assert<Same<typeof boundWithType, Task<[n: bigint], number>>>();
assert<Same<ReturnType<typeof add>, number>>();
assert<Same<ReturnType<typeof add.delay>, Promise<AsyncResult<number>>>>();
assert<Same<Awaited<ReturnType<Awaited<ReturnType<typeof slow.delay>>['get']>>, { name: string; times: number | undefined }>>();
assert<Same<Parameters<typeof bound.delay>, [to: string, ...cc: string[]]>>();
assert<Same<typeof elsewhere, TaskHandle<[x: number], string>>>();
assert<Same<Parameters<typeof unknownShape.delay>, unknown[]>>();

/** Never called. */
export async function calls(): Promise<void> {
  add(1, 2).toFixed();
  await add.delay(1, 2);
  await add.applyAsync({ args: [1, 2], countdown: 5, eta: undefined });
  await add.applyAsync({ args: [1], kwargs: { y: 2 } });
  await add.applyAsync({ kwargs: { x: 1, y: 2 }, queue: 'sums' });
  await slow.delay('a');
  await slow.applyAsync({ args: ['a'] });
  await bound.delay('a', 'b', 'c');
  await nothing.applyAsync();
  await nothing.applyAsync({ countdown: 1 });
  (await (await slow.delay('a')).get({ timeoutMs: 5 })).name.trim();

  // @ts-expect-error: one argument is missing
  await add.delay(1);
  // @ts-expect-error: of the wrong type
  await add.delay(1, '2');
  // @ts-expect-error: one too many
  await add.delay(1, 2, 3);
  // @ts-expect-error: arguments are needed
  await add.applyAsync();
  // @ts-expect-error: all of them, when there are no keyword arguments
  await add.applyAsync({ args: [1] });
  // @ts-expect-error: of the right type beside keyword arguments, too
  await add.applyAsync({ args: ['1'], kwargs: { y: 2 } });
  // @ts-expect-error: no such option
  await add.applyAsync({ args: [1, 2], countdwn: 5 });
  // @ts-expect-error: the context is not an argument of the call
  await boundWithType.delay({} as TaskContext, 1n);
  // @ts-expect-error: no such option
  task({ acks_late: true }, () => 1);
  // @ts-expect-error: of the wrong type
  task({ maxRetries: '3' }, () => 1);
  // @ts-expect-error: the result is a number
  (await (await add.delay(1, 2)).get()).trim();
  // @ts-expect-error: a name is not to be changed
  add.taskName = 'x';
}

t.test('the definitions above run', async (t) => {
  t.equal(add(1, 2), 3);
  t.equal(boundWithType(2n), 2);
  t.same(await bound('a', 'b'), ['', 'a', 'b']);
});
