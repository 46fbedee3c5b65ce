/**
 * What is told of a task: a line in the log, an event for monitors, and what it adds to the worker's figures.
 *
 * Owns the words and the fields. Source: protocol notes, events.md §2 and §5; the lines are Celery's.
 */
import type { EndedMeta, SucceededMeta, TaskOffer } from '../ipc/exchange.ts';
import type { LogFields, Logger } from '../log/logger.ts';
import { type ExceptionDocument, errorText } from '../protocol/exception.ts';
import type { PlainFields } from '../protocol/gathered-events.ts';
import { parseJson } from '../protocol/json.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { repr } from '../std/safe-repr.ts';
import { taskLabel } from '../std/task-label.ts';
import { messageDump } from './message-dump.ts';
import type { Request } from './request.ts';
import { TaskMeter } from './task-meter.ts';
import { revokedEvent, sayUnwanted, type UnwantedReason } from './unwanted-task.ts';

/** Where events go. */
export interface TaskEvents {
  /** Nobody wants any: none is made. */
  readonly enabled: boolean;
  received(task: TaskHeader): void;
  started(taskId: string): void;
  /** `result` as text. */
  succeeded(taskId: string, result: string, runtimeSeconds: number): void;
  /** Any other. */
  task(type: string, fields: PlainFields): void;
}

/** A task that is here and to be run later. */
export interface Deferred {
  readonly header: TaskHeader;
  readonly offer: TaskOffer;
  readonly dueAtMs: number;
}

export class TaskNews {
  readonly meter = new TaskMeter();
  readonly #log: Logger;
  readonly #events: TaskEvents;

  constructor(log: Logger, events: TaskEvents) {
    this.#log = log;
    this.#events = events;
  }

  received(request: Request): void {
    const { header, delivery } = request;
    this.meter.received(request);
    if (this.#log.enabled('info')) this.#log.info('task.received', `Task ${request.label} received`, fieldsOf(header));
    if (this.#tells(request) && delivery.wasDeferred !== true) this.#events.received(header);
  }

  /** Here, and to be run later. Monitors hear of it now, as from Celery. */
  deferred(task: Deferred): void {
    const { header, dueAtMs } = task;
    if (this.#log.enabled('debug')) {
      const text = `Task ${taskLabel(header.task, header.id)} received, due ${new Date(dueAtMs).toISOString()}`;
      this.#log.debug('task.deferred', text, fieldsOf(header));
    }
    if (this.#tells(task)) this.#events.received(header);
  }

  started(request: Request, pid: number): void {
    const { header } = request;
    this.meter.started(request);
    if (this.#log.enabled('debug')) this.#log.debug('task.started', `Task accepted: ${request.label} pid:${pid}`, fieldsOf(header));
    if (this.#tells(request)) this.#events.started(header.id);
  }

  succeeded(request: Request, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void {
    const { header } = request;
    this.meter.ended(header.task, runtimeSeconds);
    if (this.#log.enabled('info')) {
      const message = `Task ${request.label} succeeded in ${runtimeSeconds}s: ${escapeControls(knownText(meta, resultJson) ?? resultJson)}`;
      this.#log.info('task.succeeded', message, { ...fieldsOf(header), runtime: runtimeSeconds });
    }
    if (!this.#tells(request)) return;
    // The child makes the text only where it was known beforehand that somebody wants it.
    const result = knownText(meta, resultJson) ?? repr(parseJson(resultJson));
    this.#events.succeeded(header.id, result, runtimeSeconds);
  }

  failed(request: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const { header, label } = request;
    this.meter.ended(header.task, runtimeSeconds);
    this.meter.failed(meta.text);
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    if (meta.expected === true) this.#log.info('task.failed', `Task ${label} raised expected: ${escapeControls(meta.text)}`, fields);
    else this.#log.error('task.failed', `Task ${label} raised unexpected: ${escapeControls(meta.text)}`, withTraceback(fields, meta));
    this.#ended('task-failed', request, meta.text, meta.traceback);
  }

  /** Its child has gone. `text` null: the log knows already. */
  lost(request: Request, text: string | null, exception: string, traceback: string | null, fields: LogFields): void {
    this.meter.failed(exception);
    if (text !== null) this.#log.error('task.failed', text, fields);
    this.#ended('task-failed', request, exception, traceback);
  }

  /** `causeJson`: the document of the exception because of which it is retried, or null. */
  retried(request: Request, runtimeSeconds: number, meta: EndedMeta, causeJson: string): void {
    const { header, label } = request;
    this.meter.ended(header.task, runtimeSeconds);
    this.#log.info('task.retried', `Task ${label} retry: ${escapeControls(meta.text)}`, { ...fieldsOf(header), runtime: runtimeSeconds });
    if (!this.#tells(request)) return;
    const cause = JSON.parse(causeJson) as ExceptionDocument | null;
    this.#ended('task-retried', request, cause === null ? 'None' : errorText(cause), meta.traceback);
  }

  ignored({ header, label }: Request, runtimeSeconds: number): void {
    this.meter.ended(header.task, runtimeSeconds);
    this.#log.info('task.ignored', `Task ${label} ignored`, { ...fieldsOf(header), runtime: runtimeSeconds });
  }

  rejected(request: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const { header, label, acknowledged } = request;
    this.meter.ended(header.task, runtimeSeconds);
    const requeue = meta.requeue === true;
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    this.#log.warning('task.rejected', `Task ${label} ${escapeControls(meta.text)}`, { ...withTraceback(fields, meta), requeue });
    // One that was acknowledged as it started can no longer be rejected.
    if (this.#tells(request) && !acknowledged) this.#events.task('task-rejected', { uuid: header.id, requeue });
  }

  unwanted(request: Request, reason: UnwantedReason, byStamp: string): void {
    sayUnwanted(this.#log, request, reason, byStamp);
    if (this.#tells(request)) this.#events.task('task-revoked', { uuid: request.header.id, ...revokedEvent(request, reason) });
  }

  /** Its run was ended because its message is delivered again. The log knows already. */
  cancelled(request: Request): void {
    if (this.#tells(request)) this.#events.task('task-cancelled', { uuid: request.header.id });
  }

  undecodable(request: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const fields = { ...fieldsOf(request.header), runtime: runtimeSeconds };
    const text = `Can't decode message body: ${escapeControls(meta.text)}\n${senderOf(request)}`;
    this.#log.critical('message.undecodable', text, withTraceback(fields, meta));
  }

  invalid(request: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const fields = { ...fieldsOf(request.header), runtime: runtimeSeconds };
    const text = `Received invalid task message: ${escapeControls(meta.text)}\nThe message has been ignored and discarded.\n${senderOf(request)}`;
    this.#log.error('message.invalid', text, withTraceback(fields, meta));
  }

  /** It has ended, and the worker ends before that could be recorded. */
  unrecorded({ header, label, acknowledged }: Request, cause: string): void {
    const then = acknowledged
      ? 'Its message was acknowledged when it began: its result and what was to follow it are lost'
      : 'Its message is not acknowledged and is delivered again';
    const text = `Task ${label} has ended, which could not be recorded before the worker stops: ${cause}. ${then}`;
    this.#log.log(acknowledged ? 'error' : 'warning', 'task.unrecorded', text, fieldsOf(header));
  }

  /** The log tells more of it elsewhere. */
  unregistered(header: TaskHeader): void {
    this.meter.failed('NotRegistered');
    if (this.#events.enabled) this.#events.task('task-failed', { uuid: header.id, exception: `NotRegistered('${header.task}')` });
  }

  #ended(type: string, request: Request, exception: string, traceback: string | null): void {
    if (this.#tells(request)) this.#events.task(type, { uuid: request.header.id, exception, traceback: traceback ?? '' });
  }

  #tells({ offer }: Pick<Request, 'offer'>): boolean {
    return this.#events.enabled && offer.sendEvents !== false;
  }
}

/** Nobody listens. */
export const noEvents: TaskEvents = { enabled: false, received: () => {}, started: () => {}, succeeded: () => {}, task: () => {} };

/** Most tasks return nothing, and their children say nothing of it. */
function knownText(meta: SucceededMeta | null, resultJson: string): string | undefined {
  return meta?.text ?? (resultJson === 'null' ? 'None' : undefined);
}

/** What there is to find the sender of a bad message by. */
function senderOf({ label, delivery }: Request): string {
  return `task: ${label} queue: ${delivery.queue}\n${messageDump(delivery)}`;
}

function fieldsOf(header: TaskHeader): { readonly taskId: string; readonly taskName: string } {
  return { taskId: header.id, taskName: header.task };
}

function withTraceback<F extends LogFields>(fields: F, { traceback }: EndedMeta): LogFields {
  return traceback === null ? fields : { ...fields, traceback };
}
