/**
 * The results of a group in its shape, put together from the documents of its tasks.
 *
 * Results stay text. What a failure comes to is the caller's: chord-outcome.ts for a chord whose parts were counted.
 */
import { UmbelError } from '../errors.ts';
import { parseJson } from '../protocol/json.ts';
import { sliceMember } from '../protocol/json-slice.ts';
import { propagateStates, readyStates } from '../protocol/result.ts';
import { type ResultTuple, taskIdsOf } from '../protocol/result-tuple.ts';
import type { Clock } from '../std/clock.ts';

export type JoinOutcome =
  /** A JSON list; of a group in the group it is a list in the list. */
  | { readonly kind: 'complete'; readonly resultsJson: string }
  /** The first, from left to right, that failed or was revoked; its result is the exception document. */
  | { readonly kind: 'failed'; readonly taskId: string; readonly resultJson: string }
  /** Not every task has ended. */
  | { readonly kind: 'waiting' };

/** Where the documents are. */
export interface DocumentSource {
  /** Of those that are stored, as text. */
  documents(taskIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Until the task is ready. Rejects with RESULT_TIMEOUT. */
  wait(taskId: string, options: { readonly timeoutMs: number }): Promise<unknown>;
}

const waiting: JoinOutcome = { kind: 'waiting' };

/** As far as the documents say. */
function joinDocuments(group: ResultTuple, documents: ReadonlyMap<string, string>): JoinOutcome {
  let unready = false;
  let failed: JoinOutcome | null = null;
  const collect = ([[id], children]: ResultTuple): string => {
    if (children !== null) return `[${children.map(collect).join(', ')}]`;
    const end = endOf(documents.get(id));
    if (end === null) unready = true;
    else if (end.failed) failed ??= { kind: 'failed', taskId: id, resultJson: end.resultJson };
    return end?.resultJson ?? '';
  };
  const resultsJson = collect(group[1] === null ? [group[0], [group]] : group);
  if (unready) return waiting;
  return failed ?? { kind: 'complete', resultsJson };
}

/** Waits until every task has ended, at most for `timeoutMs`. */
export async function joinGroup(group: ResultTuple, source: DocumentSource, timeoutMs: number, clock: Clock): Promise<JoinOutcome> {
  const taskIds = [...new Set(taskIdsOf(group))];
  const deadlineMs = clock.monotonic() + timeoutMs;
  for (;;) {
    const documents = await source.documents(taskIds);
    const outcome = joinDocuments(group, documents);
    if (outcome.kind !== 'waiting' || deadlineMs - clock.monotonic() <= 0) return outcome;
    const missing = taskIds.filter((taskId) => !documents.has(taskId));
    try {
      // `wait` looks at what is stored: a task that is there without a ready state is waited for as well.
      for (const taskId of missing.length > 0 ? missing : taskIds) await source.wait(taskId, { timeoutMs: deadlineMs - clock.monotonic() });
    } catch (error) {
      if (error instanceof UmbelError && error.code === 'RESULT_TIMEOUT') return waiting;
      throw error;
    }
  }
}

function endOf(document: string | undefined): { readonly failed: boolean; readonly resultJson: string } | null {
  if (document === undefined) return null;
  const statusJson = sliceMember(document, 'status');
  const status = statusJson === null ? null : parseJson(statusJson);
  if (typeof status !== 'string' || !readyStates.has(status)) return null;
  return { failed: propagateStates.has(status), resultJson: sliceMember(document, 'result') ?? 'null' };
}
