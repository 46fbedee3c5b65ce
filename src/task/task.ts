/**
 * `task()`: how an author defines a task, and `taskHandle()`: how one calls a task that lives elsewhere.
 *
 * A task is the author's function with `delay()` and `applyAsync()` on it. Owns the checks of what is called; sending is the
 * publisher's.
 */
import { UmbelError } from '../errors.ts';
import type { AsyncResult } from './async-result.ts';
import { type BindingPlan, bindArguments, planBinding, shortName } from './bind-arguments.ts';
import { type CallOptions, checkCallOptions, type Kwargs, type RawCall } from './call-options.ts';
import { directContext } from './direct-context.ts';
import { parseParameters } from './parameters.ts';
import { publisher } from './publisher.ts';
import type { TaskFunction } from './registry.ts';
import { type Signing, signing } from './signing.ts';
import { currentTask, type TaskContext } from './task-context.ts';
import { defaultTaskOptions, type ResolvedTaskOptions, resolveTaskOptions, type TaskOptions } from './task-options.ts';
import { completeRoute } from './task-route.ts';

/** Arguments of a call: all of them in `args`, or some by name in `kwargs`. */
export type CallArguments<Args extends readonly unknown[]> =
  | { readonly args: Readonly<Args>; readonly kwargs?: Kwargs | undefined }
  | { readonly args?: Readonly<Partial<Args>> | undefined; readonly kwargs: Kwargs }
  | ([] extends Args ? { readonly args?: Readonly<Args> | undefined; readonly kwargs?: Kwargs | undefined } : never);

/** A task by its name, callable from any process. */
export interface TaskHandle<Args extends readonly unknown[], R> extends Signing<Args, R> {
  /** The name workers know it by. Throws TASK_UNNAMED when it has none yet. */
  readonly taskName: string;
  /** Send it, to be run by a worker. Resolves when the broker has it. */
  delay(...args: Args): Promise<AsyncResult<R>>;
  /** The same, with keyword arguments and options. */
  applyAsync(
    ...call: [] extends Args ? [call?: CallArguments<Args> & CallOptions] : [call: CallArguments<Args> & CallOptions]
  ): Promise<AsyncResult<R>>;
}

/** A task: the plain function, and ways to have a worker run it. */
export interface Task<Args extends readonly unknown[], R> extends TaskHandle<Args, Awaited<R>> {
  /** Call the function here and now. */
  (...args: Args): R;
  readonly options: TaskOptions;
}

/** What hangs on a task under `taskKey`; a registered symbol, so that two copies of the library know each other's tasks. */
export interface TaskState {
  readonly fn: TaskFunction;
  readonly options: ResolvedTaskOptions;
  /** The name option, or given by the loader. Written by the loader only. */
  name: string | undefined;
  /** For checking calls. Replaced by the loader with the definition's, which also knows what is optional. */
  binding: BindingPlan | undefined;
}

const taskKey = Symbol.for('umbel.task');

/** Tasks of this process of which there are signatures: a signature has the name only, and goes where calls of the task go. */
const known = new Map<string, ResolvedTaskOptions>();

export function knownTask(name: string): ResolvedTaskOptions | undefined {
  return known.get(name);
}

/** The state of a task; undefined for anything else. */
export function taskStateOf(value: unknown): TaskState | undefined {
  return typeof value === 'function' ? (value as { [taskKey]?: TaskState })[taskKey] : undefined;
}

export function task<Args extends unknown[], R>(fn: (...args: Args) => R): Task<Args, R>;
export function task<Args extends unknown[], R>(
  options: TaskOptions & { readonly bind: true },
  fn: (context: TaskContext, ...args: Args) => R,
): Task<Args, R>;
export function task<Args extends unknown[], R>(
  options: TaskOptions & { readonly bind?: false | undefined },
  fn: (...args: Args) => R,
): Task<Args, R>;
export function task(first: unknown, second?: unknown): Task<unknown[], unknown> {
  const given = typeof first === 'function' && second === undefined ? {} : first;
  const fn = given === first ? second : first;
  if (typeof fn !== 'function' || taskStateOf(fn) !== undefined) {
    throw new UmbelError('TASK_OPTION_INVALID', 'task() takes a function, or options and a function: task({ name: "x" }, (a, b) => a + b)');
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new UmbelError('TASK_OPTION_INVALID', `task() takes an object as its options, got ${String(given)}`);
  }
  return createTask(fn as (...args: unknown[]) => unknown, given);
}

/** A task that lives elsewhere, perhaps in another language. The types are the caller's promise. */
export function taskHandle<Args extends readonly unknown[] = unknown[], R = unknown>(name: string): TaskHandle<Args, R> {
  if (typeof name !== 'string' || name === '') {
    throw new UmbelError('TASK_OPTION_INVALID', `taskHandle() takes a task name, got ${String(name)}`);
  }
  return {
    taskName: name,
    async delay(...args) {
      return publisher().call<R>({ task: name, args, kwargs: {}, options: {} });
    },
    async applyAsync(call?: RawCall) {
      checkCallOptions(name, call ?? {});
      const { args = [], kwargs = {}, ...options } = call ?? {};
      return publisher().call<R>({ task: name, args, kwargs, options });
    },
    ...signing<Args, R>(() => name),
  };
}

function createTask(fn: (...args: unknown[]) => unknown, given: TaskOptions): Task<unknown[], unknown> {
  const options =
    Object.keys(given).length === 0 ? defaultTaskOptions : resolveTaskOptions(given, fn.name === '' ? '(anonymous)' : fn.name);
  const state: TaskState = { fn: fn as TaskFunction, options, name: options.name, binding: undefined };

  async function send(call: RawCall): Promise<AsyncResult<unknown>> {
    const { args = [], kwargs = {}, ...callOptions } = call;
    const sender = publisher();
    if (state.name === undefined) await sender.loadTasks?.();
    const name = nameOf(state, fn);
    state.binding ??= planWithoutFile(fn, options);
    bindArguments(state.binding, args, kwargs);
    return sender.call({ task: name, args, kwargs, options: withTaskDefaults(callOptions, options) });
  }

  const ways = signing<unknown[], unknown>(() => {
    const name = nameOf(state, fn);
    known.set(name, options);
    return name;
  });
  const callable = function (this: unknown, ...args: unknown[]): unknown {
    if (!options.bind) return fn.apply(this, args);
    return fn.call(this, directContext(state.name ?? fn.name, args, currentTask()), ...args);
  };
  Object.defineProperties(callable, {
    name: { value: fn.name, configurable: true },
    length: { value: Math.max(0, fn.length - (options.bind ? 1 : 0)), configurable: true },
    [taskKey]: { value: state },
    taskName: { get: () => nameOf(state, fn) },
    options: { value: Object.freeze({ ...given }) },
    delay: { value: async (...args: unknown[]) => send({ args }) },
    applyAsync: {
      value: async (call?: RawCall) => {
        checkCallOptions(state.name ?? fn.name, call ?? {});
        return send(call ?? {});
      },
    },
    ...Object.fromEntries(Object.entries(ways).map(([key, value]) => [key, { value }])),
  });
  return callable as Task<unknown[], unknown>;
}

function nameOf(state: TaskState, fn: TaskFunction): string {
  if (state.name !== undefined) return state.name;
  const shown = fn.name === '' ? 'a task' : `task ${fn.name}`;
  throw new UmbelError(
    'TASK_UNNAMED',
    `${shown} has no name here: only a worker names tasks after their modules; give it one, task({ name: 'tasks.add' }, ...)`,
  );
}

/** Without the file, what TypeScript marks as optional is unknown: nothing is reported missing, the worker will. */
function planWithoutFile(fn: TaskFunction, options: ResolvedTaskOptions): BindingPlan {
  return planBinding(shortName(fn, options.name ?? 'task'), parseParameters(fn), options, (parameters) => new Set(parameters.keys()));
}

/** The call's own options win over the task's. */
function withTaskDefaults(call: CallOptions, options: ResolvedTaskOptions): CallOptions {
  const ignoreResult = call.ignoreResult ?? options.ignoreResult;
  const timeLimit = call.timeLimit ?? options.timeLimit;
  const softTimeLimit = call.softTimeLimit ?? options.softTimeLimit;
  const route = completeRoute(call, options);
  const asIs = ignoreResult === call.ignoreResult && timeLimit === call.timeLimit && softTimeLimit === call.softTimeLimit;
  return route === call && asIs ? call : { ...call, ...route, ignoreResult, timeLimit, softTimeLimit };
}
