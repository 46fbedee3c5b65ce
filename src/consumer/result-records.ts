/** What is stored of a task, for each state. Source: results.md §2. */
import type { ResultBackend } from '../backend/backend.ts';
import type { SucceededMeta } from '../ipc/exchange.ts';
import type { NamedTask } from '../protocol/chord-part.ts';
import { type ResultRecord, readyStates } from '../protocol/result.ts';
import type { TaskHeader } from '../protocol/task-message.ts';

/** A request, or what is known of a message that never became one. */
export interface RecordSource {
  readonly header: TaskHeader;
  readonly delivery: { readonly routingKey: string; readonly properties: { readonly replyTo?: string } } | null;
  /** Without a delivery. */
  readonly replyTo?: string | undefined;
}

export interface ResultRecordsParams {
  readonly nodeName: string;
  readonly resultExtended: boolean;
  /** Are results replies? Only then is it read where they go to: that alone would cost a look into the message. */
  readonly backend: Pick<ResultBackend, 'openReplies'> | null;
}

export class ResultRecords {
  readonly #params: ResultRecordsParams;
  readonly #replies: boolean;

  constructor(params: ResultRecordsParams) {
    this.#params = params;
    this.#replies = params.backend?.openReplies !== undefined;
  }

  make(source: RecordSource, status: string, resultJson: string, traceback: string | null, meta: SucceededMeta | null): ResultRecord {
    const { header, delivery } = source;
    const record: ResultRecord = {
      taskId: header.id,
      status,
      resultJson,
      traceback,
      childrenJson: meta?.children ?? '[]',
      dateDoneMs: readyStates.has(status) ? Date.now() : null,
      groupId: header.group,
      parentId: header.parentId,
    };
    if (this.#replies) return { ...record, replyTo: (delivery === null ? source.replyTo : delivery.properties.replyTo) ?? '' };
    if (!this.#params.resultExtended) return record;
    const { args, kwargs } = meta ?? {};
    return {
      ...record,
      extended: {
        name: header.task,
        argsJson: args ?? 'null',
        kwargsJson: kwargs ?? 'null',
        worker: this.#params.nodeName,
        retries: header.retries,
        queue: delivery?.routingKey ?? null,
      },
    };
  }

  /** Steps of a chain that will never run fail with the same error, so that nobody waits for them. null: none. */
  failedSteps(
    source: RecordSource,
    steps: readonly NamedTask[] | undefined,
    resultJson: string,
    traceback: string | null,
  ): readonly ResultRecord[] | null {
    if (steps === undefined || steps.length === 0) return null;
    const record = this.make(source, 'FAILURE', resultJson, traceback, null);
    return steps.map(({ taskId, groupId }) => ({ ...record, taskId, groupId }));
  }
}
