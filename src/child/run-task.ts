/**
 * One task in a pool child, from the message's bytes to how it ended.
 *
 * `prepare` reads the message: what cannot be read ends there, before the task counts as started. `run` calls the function and
 * turns what it returns or throws into a TaskEnd: the result as JSON text, the exception document, and the messages that
 * follow from it. A function that returns no promise is run without one, so that short tasks cost no turn of the event loop.
 *
 * Never writes to the pipe (child/runtime.ts does) and never decides about acknowledgement (consumer/settle.ts does).
 */
import { followUpsOfFailure, followUpsOfSuccess } from '../canvas/follow-up.ts';
import { encodeFollowUps } from '../canvas/follow-up-message.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { ChildSettings, EndedMeta, EndKind, FollowUpMeta, RunMeta, SucceededMeta } from '../ipc/exchange.ts';
import { encodeError, exceptionDocument } from '../protocol/exception.ts';
import { encodeJson } from '../protocol/json.ts';
import type { Message } from '../protocol/message.ts';
import { readPlainFrames } from '../protocol/plain-frames.ts';
import { readPlainTask } from '../protocol/plain-task.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { readContent, readReceipt, type TaskContent, type TaskHeader } from '../protocol/task-message.ts';
import { isThenable } from '../std/is-thenable.ts';
import { repr } from '../std/safe-repr.ts';
import { bindArguments } from '../task/bind-arguments.ts';
import { Ignore, Reject, Replaced, Retry } from '../task/control-flow.ts';
import { matchesError } from '../task/error-matcher.ts';
import type { TaskDefinition, TaskRegistry } from '../task/registry.ts';
import { type ContextHost, runInContext, TaskContext } from '../task/task-context.ts';
import { autoRetry } from './auto-retry.ts';
import { argumentsOf, calledWith, childrenOf, errbackCallOf, errorText, sourceOf } from './end-parts.ts';
import { followUpRoute } from './follow-up-route.ts';
import { runHandled } from './handled-run.ts';
import { PlainRun } from './plain-run.ts';
import { replacement } from './replacement.ts';
import { requestOf } from './request-of.ts';
import { retryMessage } from './retry-message.ts';
import { tracebackOf } from './traceback.ts';

/** What one run is made from. */
export interface PreparedTask {
  readonly header: TaskHeader;
  readonly content: TaskContent;
  readonly meta: RunMeta;
  readonly definition: TaskDefinition;
  readonly registry: TaskRegistry;
  /** What the task has called; written by the host of its context. */
  trail?: ResultTuple[];
}

export interface OutgoingMessage {
  readonly meta: FollowUpMeta;
  readonly body: Buffer;
}

export type TaskEnd =
  | {
      readonly kind: 'succeeded';
      readonly resultJson: string;
      readonly meta: SucceededMeta | null;
      readonly followUps: readonly OutgoingMessage[];
    }
  | { readonly kind: 'ended'; readonly resultJson: string; readonly meta: EndedMeta; readonly followUps: readonly OutgoingMessage[] };

const none: readonly OutgoingMessage[] = [];

/** Read the message. Returns how it ended when there is nothing to run. */
export function prepare(meta: RunMeta, body: Buffer, registry: TaskRegistry): PreparedTask | TaskEnd {
  const message: Message = { headers: meta.headers, properties: meta.properties, body };
  const receipt = readReceipt(message);
  if (receipt.kind === 'undecodable') return ended('undecodable', receipt.reason);
  if (receipt.kind !== 'task') return ended('invalid', receipt.kind === 'invalid' ? receipt.reason : 'not a task message');
  return prepareTask(receipt.header, () => readContent(message, receipt.header.protocol), meta, registry);
}

/** As `prepare`, for a message in the plain form: text of kombu's JSON, or frames as latin1 text. */
export function preparePlain(envelope: string, registry: TaskRegistry): PreparedTask | TaskEnd {
  const plain = envelope.startsWith('{') ? readPlainTask(envelope) : readPlainFrames(envelope);
  if (plain === null) return ended('invalid', 'not a plain task message');
  return prepareTask(plain.header, () => plain.content(), new PlainRun(plain), registry);
}

function prepareTask(header: TaskHeader, content: () => TaskContent, meta: RunMeta, registry: TaskRegistry): PreparedTask | TaskEnd {
  // Asked again here, because the message may have waited behind others.
  if (header.expiresMs !== null && header.expiresMs <= Date.now()) return ended('expired', 'expired');
  const definition = registry.get(header.task);
  if (definition === undefined) return ended('invalid', `the task modules of this child have no task '${header.task}'`);
  try {
    return { header, content: content(), meta, definition, registry };
  } catch (error) {
    const invalid = error instanceof UmbelError && error.code === 'MESSAGE_INVALID';
    return ended(invalid ? 'invalid' : 'undecodable', messageOf(error));
  }
}

export function isPrepared(prepared: PreparedTask | TaskEnd): prepared is PreparedTask {
  return 'definition' in prepared;
}

/** Run it. A promise only when the task returned one. Never throws, never rejects. */
export function run(task: PreparedTask, settings: ChildSettings, host: ContextHost): TaskEnd | Promise<TaskEnd> {
  const { definition, content } = task;
  const { options } = definition;
  const context = new TaskContext(requestOf(task, settings), options, host);
  const call = (): unknown => {
    const bound = bindArguments(definition.binding, calledWith(task), content.kwargs);
    const fn = definition.fn as (...args: unknown[]) => unknown;
    return options.bind ? fn(context, ...bound) : fn(...bound);
  };
  if (options.handlers !== null) {
    const { handlers } = options;
    const run = {
      handlers,
      context,
      call: async () => call(),
      thrown: (thrown: unknown) => autoRetry(options, context, thrown),
      succeed: (value: unknown) => succeed(task, settings, value),
      fail: (thrown: unknown) => fail(task, settings, thrown),
    };
    return runInContext(context, () => runHandled(run));
  }
  try {
    const value = runInContext(context, call);
    if (!isThenable(value)) return succeed(task, settings, value);
    return Promise.resolve(value).then(
      (result: unknown) => succeed(task, settings, result),
      (thrown: unknown) => fail(task, settings, autoRetry(options, context, thrown)),
    );
  } catch (thrown) {
    return fail(task, settings, autoRetry(options, context, thrown));
  }
}

function succeed(task: PreparedTask, settings: ChildSettings, value: unknown): TaskEnd {
  try {
    return endOfSuccess(task, settings, value);
  } catch (thrown) {
    return fail(task, settings, thrown);
  }
}

function endOfSuccess(task: PreparedTask, settings: ChildSettings, value: unknown): TaskEnd {
  let resultJson: string;
  try {
    resultJson = encodeJson(value ?? null);
  } catch (error) {
    return failed(task, settings, error, JSON.stringify(encodeError(error)), `EncodeError(${repr(messageOf(error))})`);
  }
  const text = settings.wantResultText && value !== null && value !== undefined ? { text: repr(value) } : null;
  const meta: SucceededMeta | null = settings.wantArguments ? { ...text, ...argumentsOf(task) } : text;
  const { callbacks, chain, chord } = task.content;
  if (callbacks === null && (chain === null || chain.length === 0) && chord === null && task.trail === undefined)
    return { kind: 'succeeded', resultJson, meta, followUps: none };
  const applied = followUpsOfSuccess(sourceOf(task, settings), task.content, value ?? null);
  const children = childrenOf(task, applied.children);
  const { messages, about } = encodeFollowUps(applied, settings.taskProtocol, followUpRoute(task.registry));
  return { kind: 'succeeded', resultJson, meta: { ...meta, ...children, ...about }, followUps: messages };
}

export function fail(task: PreparedTask, settings: ChildSettings, thrown: unknown): TaskEnd {
  try {
    return endOf(task, settings, thrown);
  } catch {
    // A getter or a proxy that throws when looked at: it is the task's failure and must not become the child's.
    const substitute = new Error('the task threw an error that cannot be read');
    return failed(task, settings, substitute, JSON.stringify(exceptionDocument(substitute)), errorText(substitute));
  }
}

function endOf(task: PreparedTask, settings: ChildSettings, thrown: unknown): TaskEnd {
  if (thrown instanceof Replaced) return replaced(task, settings, thrown);
  if (thrown instanceof Ignore) return ended('ignored', '');
  if (thrown instanceof Reject)
    return {
      kind: 'ended',
      resultJson: 'null',
      meta: { kind: 'rejected', text: thrown.message, traceback: null, requeue: thrown.requeue },
      followUps: none,
    };
  if (thrown instanceof Retry) return retried(task, settings, thrown);
  return failed(task, settings, thrown, JSON.stringify(exceptionDocument(thrown)), errorText(thrown));
}

function replaced(task: PreparedTask, settings: ChildSettings, thrown: Replaced): TaskEnd {
  try {
    const routeOf = followUpRoute(task.registry);
    const followUps = replacement(thrown, requestOf(task, settings), task.header.replacedTaskNesting, settings, routeOf);
    return { ...ended('ignored', ''), followUps };
  } catch (error) {
    return failed(task, settings, error, JSON.stringify(exceptionDocument(error)), errorText(error));
  }
}

function retried(task: PreparedTask, settings: ChildSettings, retry: Retry): TaskEnd {
  const cause = retry.exc === undefined || retry.exc === null ? null : retry.exc;
  const resultJson = cause === null ? 'null' : JSON.stringify(exceptionDocument(cause));
  const meta: EndedMeta = {
    kind: 'retried',
    text: retry.message,
    traceback: cause === null ? null : tracebackOf(cause),
    ...(settings.wantArguments ? argumentsOf(task) : null),
  };
  try {
    return { kind: 'ended', resultJson, meta, followUps: [retryMessage(task, settings, retry)] };
  } catch (error) {
    // The new arguments cannot be sent: that is the task's failure, and saying so is better than losing it.
    return failed(task, settings, error, JSON.stringify(encodeError(error)), errorText(error));
  }
}

function failed(task: PreparedTask, settings: ChildSettings, thrown: unknown, resultJson: string, text: string): TaskEnd {
  let followUps: readonly OutgoingMessage[] = none;
  let about: Partial<EndedMeta> | null = null;
  const traceback = tracebackOf(thrown);
  try {
    const call = errbackCallOf(task, settings, resultJson, traceback);
    const applied = followUpsOfFailure(sourceOf(task, settings), task.content, {}, call);
    ({ messages: followUps, about } = encodeFollowUps(applied, settings.taskProtocol, followUpRoute(task.registry)));
  } catch (error) {
    about = { unsupported: [`its error callbacks: ${messageOf(error)}`] };
  }
  const meta: EndedMeta = {
    kind: 'failed',
    text,
    traceback,
    ...(matchesError(thrown, task.definition.options.throws) ? { expected: true } : null),
    ...about,
    ...childrenOf(task, []),
    ...(settings.wantArguments ? argumentsOf(task) : null),
  };
  return { kind: 'ended', resultJson, meta, followUps };
}

function ended(kind: EndKind, text: string): TaskEnd {
  return { kind: 'ended', resultJson: 'null', meta: { kind, text, traceback: null }, followUps: none };
}
