/** One list in Redis: a queue at one priority step. Shared by every message that came from it. */
import type { KeyLayout } from './key-layout.ts';
import { suffixOf } from './unacked-entry.ts';

export class QueueList {
  readonly queue: string;
  readonly key: string;
  readonly rejectedKey: string;
  /** Bytes behind the envelope in `unacked`. */
  readonly suffixBytes: number;
  /** As characters: where the envelope ends in the text of an entry. */
  readonly suffixLength: number;

  constructor(layout: KeyLayout, queue: string, step: number) {
    const suffix = suffixOf(queue);
    this.queue = queue;
    this.key = layout.list(queue, step);
    this.rejectedKey = layout.rejected(queue);
    this.suffixBytes = suffix.length;
    this.suffixLength = suffix.toString('utf8').length;
  }

  /** Of an entry of ours. */
  envelopeOf(entry: string): string {
    return entry.slice(1, -this.suffixLength);
  }
}
