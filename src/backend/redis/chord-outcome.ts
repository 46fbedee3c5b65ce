/**
 * From the finished parts of a chord to what its body is called with, or fails with.
 *
 * Results stay text; only the exception of a failed part is looked into, for the message. Words as in Celery.
 * Source: protocol notes, redis.md §5.4.
 */
import { decodeChordMember, reprException } from '../../protocol/chord-member.ts';
import { chordError } from '../../protocol/exception.ts';
import { parseJson } from '../../protocol/json.ts';
import { sliceMember } from '../../protocol/json-slice.ts';
import { propagateStates, readyStates } from '../../protocol/result.ts';
import type { ResultTuple } from '../../protocol/result-tuple.ts';
import type { ChordOutcome } from '../group-store.ts';

/** Of the stored members, in their order: the first part that failed fails the chord. */
export function outcomeOfMembers(members: readonly string[]): ChordOutcome {
  const results: string[] = [];
  for (const text of members) {
    const { taskId, state, resultJson } = decodeChordMember(text);
    if (propagateStates.has(state)) return chordFailed(`Dependency ${taskId} raised ${reprException(resultJson)}`);
    results.push(resultJson);
  }
  return { kind: 'complete', resultsJson: `[${results.join(', ')}]` };
}

/**
 * Of a saved group, whose results become a list of lists. `documents` are those of its tasks, as text. null: one of them is not
 * ready yet.
 */
export function outcomeOfGroup(group: ResultTuple, documents: ReadonlyMap<string, string>): ChordOutcome | null {
  const collect = ([[id], children]: ResultTuple): string | ChordOutcome | null => {
    if (children === null) return resultOf(documents.get(id));
    const values: string[] = [];
    for (const child of children) {
      const value = collect(child);
      if (typeof value !== 'string') return value;
      values.push(value);
    }
    return `[${values.join(', ')}]`;
  };
  const collected = collect(group[1] === null ? [group[0], [group]] : group);
  return typeof collected === 'string' ? { kind: 'complete', resultsJson: collected } : collected;
}

export function joinTimedOut(): ChordOutcome {
  return joinFailed("TimeoutError('The operation timed out.')");
}

export function joinFailed(cause: string): ChordOutcome {
  return chordFailed(`Join error: ${cause}`);
}

function resultOf(document: string | undefined): string | ChordOutcome | null {
  if (document === undefined) return null;
  const statusJson = sliceMember(document, 'status');
  const status = statusJson === null ? null : parseJson(statusJson);
  if (typeof status !== 'string' || !readyStates.has(status)) return null;
  const resultJson = sliceMember(document, 'result') ?? 'null';
  return propagateStates.has(status) ? joinFailed(reprException(resultJson)) : resultJson;
}

function chordFailed(message: string): ChordOutcome {
  return {
    kind: 'failed',
    exception: chordError(message),
    traceback: `celery.exceptions.ChordError: ${message}\n`,
  };
}
