/** What is stored of a task, for each state. Source: results.md §2. */
import type { SucceededMeta } from '../ipc/exchange.ts';
import type { NamedTask } from '../protocol/chord-part.ts';
import { type ResultRecord, readyStates } from '../protocol/result.ts';
import type { TaskHeader } from '../protocol/task-message.ts';

/** A request, or what is known of a message that never became one. */
export interface RecordSource {
  readonly header: TaskHeader;
  readonly delivery: { readonly routingKey: string } | null;
}

export interface ResultRecordsParams {
  readonly nodeName: string;
  readonly resultExtended: boolean;
}

export class ResultRecords {
  readonly #params: ResultRecordsParams;

  constructor(params: ResultRecordsParams) {
    this.#params = params;
  }

  make(source: RecordSource, status: string, resultJson: string, traceback: string | null, meta: SucceededMeta | null): ResultRecord {
    const { header, delivery } = source;
    const record = {
      taskId: header.id,
      status,
      resultJson,
      traceback,
      childrenJson: meta?.children ?? '[]',
      dateDoneMs: readyStates.has(status) ? Date.now() : null,
      groupId: header.group,
      parentId: header.parentId,
    };
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
