/**
 * What must be known of a chord outside the message that carries it: by whoever starts one, and by whoever ends one of its parts.
 *
 * Shapes only. They are made in canvas/ and travel from the child to the parent.
 */
import type { ResultTuple } from './result-tuple.ts';

/** Told to the result backend before the first message of the header is published. */
export interface ChordStart {
  readonly groupId: string;
  /** How many parts. */
  readonly size: number;
  /** The shape of the results, where it is not a plain list. */
  readonly group: ResultTuple | null;
}

/** A message that is published only when this part has completed its chord; or when the chord has failed. */
export interface ChordMessage {
  readonly part: number;
  readonly on: 'complete' | 'failed';
  /** To be compressed with this when the results are in it. */
  readonly compression?: string;
}

/** A task that gives the result of something others wait for. */
export interface NamedTask {
  readonly taskId: string;
  readonly groupId: string | null;
}

/** A part of a chord that has ended: the task itself, or a later step of its chain. */
export interface ChordPartEnd {
  /** As in `ChordMessage.part`. */
  readonly part: number;
  readonly taskId: string;
  readonly groupId: string;
  readonly groupIndex: number | null;
  /** Only senders before Celery 5.1 write it. */
  readonly chordSize: number | null;
  /** The text, in quotes, in whose place the results go. */
  readonly resultsToken: string;
  /** Why the body cannot be sent; null: it can. */
  readonly bodyError: string | null;
  /** Stored as failed when the chord has. */
  readonly failed: readonly NamedTask[];
  /** The chords those are parts of; they are then told of the failure. */
  readonly outer: readonly ChordPartEnd[];
}
