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

/** Ids in a message. */
const mostShown = 5;

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

/** `counted` of them have ended. */
export function sizeLost(groupId: string, counted: number): ChordOutcome {
  return chordFailed(`the size of chord ${groupId} was lost or never stored: ${counted} parts have ended, and of how many is not known`);
}

/** Parts of which no result is left; `unknown`: so many more, of which not even the id is. */
export function partsLost(groupId: string, taskIds: readonly string[], unknown: number): ChordOutcome {
  const shown = taskIds.slice(0, mostShown).join(', ');
  const named = taskIds.length === 0 ? '' : ` (${shown}${taskIds.length > mostShown ? ', …' : ''})`;
  return chordFailed(`the counters of chord ${groupId} were lost, and the results of ${taskIds.length + unknown} of its parts${named}`);
}

/** Words of Celery's backends that look for it. */
export function groupLost(groupId: string): ChordOutcome {
  return chordFailed(`GroupResult ${groupId} no longer exists`);
}

export function joinFailed(cause: string): ChordOutcome {
  return chordFailed(`Join error: ${cause}`);
}

function chordFailed(message: string): Extract<ChordOutcome, { readonly kind: 'failed' }> {
  return {
    kind: 'failed',
    exception: chordError(message),
    traceback: `celery.exceptions.ChordError: ${message}\n`,
  };
}
