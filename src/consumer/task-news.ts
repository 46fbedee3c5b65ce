/**
 * What is told of a task: a line in the log, and an event for monitors.
 *
 * Owns the words and the fields. Source: protocol notes, events.md §2 and §5; the lines are Celery's.
 */
import type { EndedMeta, SucceededMeta } from '../ipc/exchange.ts';
import type { LogFields, Logger } from '../log/logger.ts';
import { type ExceptionDocument, errorText } from '../protocol/exception.ts';
import { formatIsoTime } from '../protocol/iso-time.ts';
import { parseJson } from '../protocol/json.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import { repr } from '../std/safe-repr.ts';
import type { Request } from './request.ts';
import { revokedEvent, sayUnwanted, type UnwantedReason } from './unwanted-task.ts';

/** Where events go. */
export interface TaskEvents {
  /** Nobody wants any: none is made. */
  readonly enabled: boolean;
  task(type: string, fields: Readonly<Record<string, unknown>>): void;
}

export class TaskNews {
  readonly #log: Logger;
  readonly #events: TaskEvents;

  constructor(log: Logger, events: TaskEvents) {
    this.#log = log;
    this.#events = events;
  }

  received({ header, label, delivery }: Request): void {
    if (this.#log.enabled('info')) this.#log.info('task.received', `Task ${label} received`, fieldsOf(header));
    if (this.#events.enabled && delivery.wasDeferred !== true) this.#receivedEvent(header);
  }

  /** Here, and to be run later. Monitors hear of it now, as from Celery. */
  deferred(header: TaskHeader, dueAtMs: number): void {
    const text = `Task ${header.task}[${header.id}] received, due ${new Date(dueAtMs).toISOString()}`;
    this.#log.debug('task.deferred', text, fieldsOf(header));
    if (this.#events.enabled) this.#receivedEvent(header);
  }

  #receivedEvent(header: TaskHeader): void {
    this.#events.task('task-received', {
      uuid: header.id,
      name: header.shadow ?? header.task,
      args: header.argsrepr ?? '',
      kwargs: header.kwargsrepr ?? '',
      root_id: header.rootId,
      parent_id: header.parentId,
      retries: header.retries,
      eta: header.etaMs === null ? null : formatIsoTime(header.etaMs),
      expires: header.expiresMs === null ? null : formatIsoTime(header.expiresMs),
    });
  }

  started({ header, label }: Request, pid: number): void {
    this.#log.debug('task.started', `Task accepted: ${label} pid:${pid}`, fieldsOf(header));
    if (this.#events.enabled) this.#events.task('task-started', { uuid: header.id });
  }

  succeeded({ header, label }: Request, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void {
    if (this.#log.enabled('info')) {
      const message = `Task ${label} succeeded in ${runtimeSeconds}s: ${meta?.text ?? resultJson}`;
      this.#log.info('task.succeeded', message, { ...fieldsOf(header), runtime: runtimeSeconds });
    }
    if (!this.#events.enabled) return;
    // The child makes the text only where it was known beforehand that somebody wants it.
    this.#events.task('task-succeeded', { uuid: header.id, result: meta?.text ?? repr(parseJson(resultJson)), runtime: runtimeSeconds });
  }

  failed({ header, label }: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    if (meta.expected === true) this.#log.info('task.failed', `Task ${label} raised expected: ${meta.text}`, fields);
    else this.#log.error('task.failed', `Task ${label} raised unexpected: ${meta.text}`, withTraceback(fields, meta));
    this.#ended('task-failed', header, meta.text, meta.traceback);
  }

  /** Its child has gone. `text` null: the log knows already. */
  lost({ header }: Request, text: string | null, exception: string, traceback: string | null, fields: LogFields): void {
    if (text !== null) this.#log.error('task.failed', text, fields);
    this.#ended('task-failed', header, exception, traceback);
  }

  /** `causeJson`: the document of the exception because of which it is retried, or null. */
  retried({ header, label }: Request, runtimeSeconds: number, meta: EndedMeta, causeJson: string): void {
    this.#log.info('task.retried', `Task ${label} retry: ${meta.text}`, { ...fieldsOf(header), runtime: runtimeSeconds });
    if (!this.#events.enabled) return;
    const cause = JSON.parse(causeJson) as ExceptionDocument | null;
    this.#ended('task-retried', header, cause === null ? 'None' : errorText(cause), meta.traceback);
  }

  ignored({ header, label }: Request, runtimeSeconds: number): void {
    this.#log.info('task.ignored', `Task ${label} ignored`, { ...fieldsOf(header), runtime: runtimeSeconds });
  }

  rejected({ header, label, acknowledged }: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const requeue = meta.requeue === true;
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    this.#log.warning('task.rejected', `Task ${label} ${meta.text}`, { ...withTraceback(fields, meta), requeue });
    // One that was acknowledged as it started can no longer be rejected.
    if (this.#events.enabled && !acknowledged) this.#events.task('task-rejected', { uuid: header.id, requeue });
  }

  unwanted(request: Request, reason: UnwantedReason, byStamp: string): void {
    sayUnwanted(this.#log, request, reason, byStamp);
    if (this.#events.enabled) this.#events.task('task-revoked', { uuid: request.header.id, ...revokedEvent(request, reason) });
  }

  undecodable({ header }: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    this.#log.critical('message.undecodable', `Can't decode message body: ${meta.text}`, withTraceback(fields, meta));
  }

  invalid({ header }: Request, runtimeSeconds: number, meta: EndedMeta): void {
    const fields = { ...fieldsOf(header), runtime: runtimeSeconds };
    const text = `Received invalid task message: ${meta.text}\nThe message has been ignored and discarded.`;
    this.#log.error('message.invalid', text, withTraceback(fields, meta));
  }

  /** The log tells more of it elsewhere. */
  unregistered(header: TaskHeader): void {
    if (this.#events.enabled) this.#events.task('task-failed', { uuid: header.id, exception: `NotRegistered('${header.task}')` });
  }

  #ended(type: string, { id }: TaskHeader, exception: string, traceback: string | null): void {
    if (this.#events.enabled) this.#events.task(type, { uuid: id, exception, traceback: traceback ?? '' });
  }
}

/** Nobody listens. */
export const noEvents: TaskEvents = { enabled: false, task: () => {} };

function fieldsOf(header: TaskHeader): { readonly taskId: string; readonly taskName: string } {
  return { taskId: header.id, taskName: header.task };
}

function withTraceback<F extends LogFields>(fields: F, { traceback }: EndedMeta): LogFields {
  return traceback === null ? fields : { ...fields, traceback };
}
