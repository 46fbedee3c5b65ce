/**
 * The tasks that every Celery worker has: `celery.map`, `celery.starmap`, `celery.chunks`, `celery.accumulate`, `celery.group`, `celery.chord`,
 * `celery.chain`, `celery.chord_unlock`, `celery.backend_cleanup`.
 *
 * They read their arguments themselves, in Celery's names. Owns what each of them does; how what they call is sent is the publisher's.
 * Source: messages.md §10.
 */
import { ChordEnds } from '../canvas/chord-end.ts';
import { readSignature } from '../canvas/signature.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { JoinAnswer } from '../ipc/exchange.ts';
import { reprException } from '../protocol/chord-member.ts';
import { chordError, exceptionDocument } from '../protocol/exception.ts';
import { parseJson } from '../protocol/json.ts';
import { type ResultTuple, readResultTuple } from '../protocol/result-tuple.ts';
import { newUuid } from '../std/new-uuid.ts';
import { bindArguments } from '../task/bind-arguments.ts';
import { directContext } from '../task/direct-context.ts';
import { publisher } from '../task/publisher.ts';
import { defineTask, type TaskDefinition, type TaskRegistry } from '../task/registry.ts';
import { asSignature, ChordSignature, ChunksSignature, type Signature } from '../task/signature.ts';
import type { TaskContext } from '../task/task-context.ts';
import { resolveTaskOptions, type TaskOptions } from '../task/task-options.ts';
import type { AskBackend } from './child-result.ts';
import { origin } from './origin.ts';

export interface BuiltinServices {
  readonly registry: TaskRegistry;
  readonly ask: AskBackend;
  /** Between two looks of `celery.chord_unlock`. */
  readonly chordRetryIntervalSeconds: number;
}

type Run = (context: TaskContext, services: BuiltinServices) => unknown;

const builtins: Readonly<Record<string, { readonly run: Run; readonly options?: TaskOptions }>> = {
  'celery.accumulate': { run: accumulate },
  'celery.backend_cleanup': { run: async (_context, { ask }) => void (await ask({ ask: 'cleanup' })) },
  'celery.chain': {
    run: () => {
      throw new NotImplementedError('chain is not a real task');
    },
  },
  'celery.chord': { run: applyChord },
  // Acknowledged late: sent again it does no harm, and lost it would take the body along.
  'celery.chord_unlock': {
    run: unlockChord,
    options: { ignoreResult: true, maxRetries: null, acksLate: true, rejectOnWorkerLost: true },
  },
  'celery.chunks': { run: applyChunks },
  'celery.group': { run: applyGroup },
  'celery.map': { run: (context, services) => callEach(context, services, (item) => [item]) },
  'celery.starmap': { run: (context, services) => callEach(context, services, (item) => listOf(item)) },
};

/** A task of the user's own with such a name stays. */
export function addBuiltinTasks(services: BuiltinServices): void {
  for (const [name, { run, options = {} }] of Object.entries(builtins)) {
    if (services.registry.get(name) === undefined) services.registry.add(definition(name, run, options, services));
  }
}

class NotImplementedError extends Error {
  override readonly name: string = 'NotImplementedError';
}

function definition(name: string, run: Run, options: TaskOptions, services: BuiltinServices): TaskDefinition {
  return defineTask({
    name,
    fn: (context: TaskContext) => run(context, services),
    options: resolveTaskOptions({ ...options, bind: true, typing: false, defaultRetryDelay: services.chordRetryIntervalSeconds }, name),
    file: 'umbel',
    sources: () => [],
  });
}

/** By name, or by its place. */
function given(context: TaskContext, name: string, place: number): unknown {
  return context.kwargs[name] ?? context.args[place] ?? null;
}

function accumulate(context: TaskContext): unknown {
  const { index } = context.kwargs;
  return typeof index === 'number' ? context.args.at(index) : context.args;
}

/** Here and now, one after the other. As in Celery the signature says which task, and nothing else. */
async function callEach(
  context: TaskContext,
  { registry }: BuiltinServices,
  argsOf: (item: unknown) => readonly unknown[],
): Promise<unknown[]> {
  const { task: name } = asSignature(given(context, 'task', 0));
  const called = registry.get(name);
  if (called === undefined)
    throw new UmbelError('TASK_UNNAMED', `the task modules of this worker have no task '${name}' (${context.name})`);
  const fn = called.fn as (...args: unknown[]) => unknown;
  const results: unknown[] = [];
  for (const item of listOf(given(context, 'it', 1))) {
    const bound = bindArguments(called.binding, argsOf(item), {});
    results.push(await (called.options.bind ? fn(directContext(name, bound, context), ...bound) : fn(...bound)));
  }
  return results;
}

function applyChunks(context: TaskContext): unknown {
  const [task, it, n] = [given(context, 'task', 0), given(context, 'it', 1), given(context, 'n', 2)];
  return new ChunksSignature({ task: 'celery.chunks', kwargs: { task: asSignature(task), it: listOf(it), n } }).applyAsync();
}

/** The members of a group whose ids somebody has given out already. */
async function applyGroup(context: TaskContext): Promise<unknown> {
  const [tasks, result, groupId, args] = ['tasks', 'result', 'group_id', 'partial_args'].map((name, place) => given(context, name, place));
  const options = { group_id: groupId };
  await Promise.all(
    listOf(tasks).map((member) => publisher().apply({ signature: asSignature(member), args: listOf(args), kwargs: {}, options })),
  );
  return result;
}

async function applyChord(context: TaskContext): Promise<unknown> {
  const [header, body, args] = ['header', 'body', 'partial_args'].map((name, place) => given(context, name, place));
  const members = Array.isArray(header) ? header.map(asSignature) : asSignature(header);
  return new ChordSignature(members, asSignature(body)).applyAsync({ args: listOf(args) });
}

/** For senders whose backend cannot count: looks again and again until all parts have ended. */
async function unlockChord(context: TaskContext, { ask }: BuiltinServices): Promise<void> {
  const [groupId, callback, interval, maxRetries] = ['group_id', 'callback', 'interval', 'max_retries'].map((name, place) =>
    given(context, name, place),
  );
  const members = listOf(given(context, 'result', 4)).map((tuple) => readResultTuple(tuple));
  const group: ResultTuple = [[String(groupId), null], members];
  const again = {
    ...(typeof interval === 'number' ? { countdown: interval } : null),
    ...(typeof maxRetries === 'number' ? { maxRetries } : null),
  };
  const body = asSignature(callback);
  let joined: JoinAnswer;
  try {
    joined = (await ask({ ask: 'join', group, timeoutMs: 0 })) as JoinAnswer;
  } catch (error) {
    if (error instanceof UmbelError && error.code === 'NOT_SUPPORTED') throw error;
    return context.retry({ ...again, exc: error });
  }
  switch (joined.kind) {
    case 'waiting':
      return context.retry(again);
    case 'failed':
      return failBody(context, ask, body, `Dependency ${joined.taskId} raised ${reprException(joined.resultJson)}`);
    case 'complete':
      try {
        await publisher().apply({ signature: body, args: [parseJson(joined.resultsJson)], kwargs: {}, options: {}, once: newUuid() });
      } catch (error) {
        await failBody(context, ask, body, `Callback error: ${reprException(JSON.stringify(exceptionDocument(error)))}`);
      }
  }
}

/** Everything that somebody may wait for has failed; its error callbacks are called with its id. */
async function failBody(context: TaskContext, ask: AskBackend, body: Signature<unknown>, message: string): Promise<void> {
  context.log.error(`Chord raised: ChordError(${JSON.stringify(message)})`);
  const ends = new ChordEnds({ id: context.id, rootId: context.rootId, group: null, priority: null, origin }, {});
  ends.add({ taskId: context.id, groupId: context.id, groupIndex: null }, readSignature(body));
  const failed = ends.list.flatMap((end) => end.failed);
  const exceptionJson = JSON.stringify(chordError(message));
  await ask({ ask: 'store-failed', tasks: failed, exceptionJson, traceback: `celery.exceptions.ChordError: ${message}\n` });
  const bodyId = failed.at(-1)?.taskId ?? context.id;
  // The body's, and not of this task.
  const options = { parent_id: bodyId, root_id: bodyId };
  for (const errback of listOf(body.options.link_error)) {
    try {
      await publisher().apply({ signature: asSignature(errback), args: [bodyId], kwargs: {}, options });
    } catch (error) {
      context.log.error(`an error callback of the chord could not be sent: ${messageOf(error)}`);
    }
  }
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === null || value === undefined ? [] : [value];
}
