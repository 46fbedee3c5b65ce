/**
 * From the finished parts of a chord to what its body is called with, or fails with.
 *
 * Results stay text; only the exception of a failed part is looked into, for the message. Words as in Celery.
 * Source: protocol notes, redis.md §5.4.
 */
import { type ChordMember, reprException } from '../protocol/chord-member.ts';
import { chordError } from '../protocol/exception.ts';
import { propagateStates } from '../protocol/result.ts';
import type { JoinOutcome } from './group-join.ts';
import type { ChordOutcome } from './group-store.ts';

/** Of the stored members, in their order: the first part that failed fails the chord. */
export function outcomeOfMembers(members: Iterable<ChordMember>): ChordOutcome {
  const results: string[] = [];
  for (const { taskId, state, resultJson } of members) {
    if (propagateStates.has(state)) return chordFailed(`Dependency ${taskId} raised ${reprException(resultJson)}`);
    results.push(resultJson);
  }
  return { kind: 'complete', resultsJson: `[${results.join(', ')}]` };
}

/** Of a saved group, whose results become a list of lists. Every part has been counted: one without a result in time has none. */
export function outcomeOfJoin(join: JoinOutcome): ChordOutcome {
  switch (join.kind) {
    case 'complete':
      return join;
    case 'failed':
      return joinFailed(reprException(join.resultJson));
    case 'waiting':
      return joinFailed("TimeoutError('The operation timed out.')");
  }
}

export function joinFailed(cause: string): ChordOutcome {
  return chordFailed(`Join error: ${cause}`);
}

export function chordFailed(message: string): Extract<ChordOutcome, { readonly kind: 'failed' }> {
  return {
    kind: 'failed',
    exception: chordError(message),
    traceback: `celery.exceptions.ChordError: ${message}\n`,
  };
}
