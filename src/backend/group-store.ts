/**
 * What a result backend does for groups and chords, besides keeping results.
 *
 * A chord is complete when as many different tasks have been counted as it has parts. Whoever counts the last one hears so,
 * publishes the body (or stores its failure), and then ends the chord. The rules that let a body run once and never be lost:
 *  - a result is stored and its part counted in one atomic step; a part that is delivered twice is counted once;
 *  - the message of the part that completed a chord is acknowledged after the body was published, not with the result:
 *    acknowledged before, the death of the worker between the two would lose the body;
 *  - the completion belongs to that part. When its message is delivered again, the outcome is `complete` again; for any other
 *    part that is delivered again it is `counted`;
 *  - counts that were deleted, evicted or have expired are noticed when the next part ends: they are put together again from what is stored, or
 *    the body fails with what is missing.
 *
 * Source: redis.md §5.4 and §5.6.
 */
import type { ExceptionDocument } from '../protocol/exception.ts';
import type { ResultRecord } from '../protocol/result.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { JoinOutcome } from './group-join.ts';

export const defaultSizeTimeoutMs = 300_000;

/** What the message of a task says about the chord it is a part of. */
export interface ChordPart {
  readonly groupId: string;
  /** null when the sender gave none: the part then stands behind those that have one. */
  readonly groupIndex: number | null;
  /** `chord_size` of the body's signature, which only senders before Celery 5.1 write; used when the backend was told no size. */
  readonly chordSize: number | null;
  /** Only counted; the result is not stored. */
  readonly ignoreResult: boolean;
}

export type ChordOutcome =
  /** Others are missing, or the chord was completed by another part; or the message is somebody else's by now, who counts it. */
  | { readonly kind: 'counted' }
  /** Counted, and nobody knows how many parts there are: the sender has not said so yet, or it is lost. So many have been counted. */
  | { readonly kind: 'unsized'; readonly counted: number }
  /** Every part is there: the body is to be published, with this JSON list as its one argument. */
  | { readonly kind: 'complete'; readonly resultsJson: string }
  /** Every part is there, but not every result: the body fails with this. */
  | { readonly kind: 'failed'; readonly exception: ExceptionDocument; readonly traceback: string };

export interface GroupStore {
  /** How long nobody need know how many parts a chord has, while none of them ends. */
  readonly sizeTimeoutMs: number;
  /**
   * `store` of the record (its state is a ready one) and the counting of the part, in one step. Where `commitsWith` says so, in the
   * same step what `settle` asks of the broker (one acknowledgement), if the outcome is `counted` or `unsized`; if not, the message stays held and is
   * to be settled again. `settle` is called at once, or not at all, and again where lost counts had to be put together first. A rejection means
   * that the message is not acknowledged.
   */
  storeChordPart(record: ResultRecord, part: ChordPart, settle?: (() => Promise<unknown>) | undefined): Promise<ChordOutcome>;
  /**
   * The body is published: forget the counters. In one turn of the event loop with the acknowledgement of the part that
   * completed the chord, both go out together where `commitsWith` says so. After an outcome `failed` Celery leaves them to expire.
   */
  endChord(groupId: string): Promise<void>;
  /**
   * Of a chord whose part `taskId` was `unsized`: `failed` when it is as it was then, for this caller alone and for good; `unsized` when other parts
   * have ended meanwhile; `counted` when there is nothing to give up.
   */
  giveUpChord(groupId: string, taskId: string, counted: number): Promise<ChordOutcome>;
  /** How many parts there are. To be stored before the last one is published. */
  setChordSize(groupId: string, size: number): Promise<void>;
  /** A part that was added from within a task of the chord. */
  addToChord(groupId: string): Promise<void>;
  /** Write down which copy of a message runs. 'same': this one was written down before; 'other': another one was. */
  claimRun(taskId: string, mark: string): Promise<'first' | 'same' | 'other'>;
  saveGroup(groupId: string, group: ResultTuple): Promise<void>;
  /** null: never saved, or expired. */
  restoreGroup(groupId: string): Promise<ResultTuple | null>;
  deleteGroup(groupId: string): Promise<void>;
  /** The results of its tasks in the shape of the group, from what is stored of them; waits for those that are not ready. */
  join(group: ResultTuple, timeoutMs: number): Promise<JoinOutcome>;
}
