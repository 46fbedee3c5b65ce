/**
 * Chords whose parts end while nobody knows how many there are.
 *
 * A sender may say so late: Python does before it sends the last part. So they are looked at when the backend's `sizeTimeoutMs` has passed without
 * another part, and given up then, if their body was not sent: the size was lost, or the sender never came to its end.
 *
 * Owns what is known here of each, of one part, and the timer. What it forgets when the worker ends is noticed by other workers that ran parts.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { ChordOutcome, GroupStore } from '../backend/group-store.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FollowUp } from '../pool/job.ts';
import type { ChordPartEnd } from '../protocol/chord-part.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { escapeControls } from '../std/escape-controls.ts';

export interface UnsizedChordsParams {
  readonly backend: ResultBackend;
  readonly groups: GroupStore;
  readonly log: Logger;
  readonly clock: Clock;
  /** The body has failed, and this caller is to say so. */
  fail(part: ChordPartEnd, failure: Extract<ChordOutcome, { readonly kind: 'failed' }>, followUps: readonly FollowUp[]): Promise<void>;
}

interface Unsized {
  readonly part: ChordPartEnd;
  readonly followUps: readonly FollowUp[];
  readonly counted: number;
  readonly dueMs: number;
}

/** More of them at a time are not looked at: the first to come are the first to be looked at, and make room. */
const mostChords = 10_000;

export class UnsizedChords {
  readonly #params: UnsizedChordsParams;
  /** By group id, in the order in which they are due. */
  readonly #chords = new Map<string, Unsized>();
  #timer: Timer | undefined;

  constructor(params: UnsizedChordsParams) {
    this.#params = params;
  }

  /** `counted` parts are there. */
  note(part: ChordPartEnd, followUps: readonly FollowUp[], counted: number): void {
    if (this.#chords.size >= mostChords && !this.#chords.has(part.groupId)) return;
    // Behind the others: another part has ended.
    this.#chords.delete(part.groupId);
    this.#chords.set(part.groupId, { part, followUps, counted, dueMs: this.#params.clock.monotonic() + this.#params.groups.sizeTimeoutMs });
    this.#timer ??= this.#params.clock.setTimer(this.#look, this.#params.groups.sizeTimeoutMs, { ref: false });
  }

  stop(): void {
    this.#chords.clear();
    this.#params.clock.clearTimer(this.#timer);
  }

  readonly #look = (): void => {
    const nowMs = this.#params.clock.monotonic();
    this.#timer = undefined;
    for (const [groupId, chord] of this.#chords) {
      if (chord.dueMs > nowMs) {
        this.#timer = this.#params.clock.setTimer(this.#look, chord.dueMs - nowMs, { ref: false });
        return;
      }
      this.#chords.delete(groupId);
      this.#lookAt(chord).catch((error: unknown) => {
        this.#params.log.warning(
          'chord.unsized',
          `Chord ${escapeControls(groupId)} has no size, and cannot be looked at now: ${messageOf(error)}`,
          {
            groupId,
          },
        );
        this.note(chord.part, chord.followUps, chord.counted);
      });
    }
  };

  async #lookAt({ part, followUps, counted }: Unsized): Promise<void> {
    const { backend, groups } = this.#params;
    // Another worker has completed it, and deleted the counters.
    for (const { taskId } of part.failed) if ((await backend.get(taskId)) !== null) return;
    const outcome = await groups.giveUpChord(part.groupId, part.taskId, counted);
    if (outcome.kind === 'unsized') this.note(part, followUps, outcome.counted);
    if (outcome.kind === 'failed') await this.#params.fail(part, outcome, followUps);
  }
}
