/**
 * How long a child may go on: how many jobs it may be given, whether it has grown too big, and who worked before it under its number.
 *
 * Owns the count. The child handle keeps it, pool/dispatcher.ts asks it before every job, pool/recycler.ts acts on it.
 */
export class Tenure {
  /** Jobs it may be given over its life. Written by the pool. */
  quota = Number.POSITIVE_INFINITY;
  /** Jobs given and not handed back. Written by the child handle. */
  given = 0;
  /** To be replaced as soon as another is ready, whatever it may still do: why. Written by the recycler. */
  renewal: 'max_memory' | 'pool_restart' | 'suspect' | null = null;
  /** Jobs still running in the child it has replaced, whose places are not free yet; null when there is none. Written by the recycler. */
  predecessor: { readonly size: number } | null = null;
  /** The most it was seen to hold; null: it was never looked at. Written by pool/memory-watch.ts. */
  peakRssBytes: number | null = null;
  /** Clock.monotonic of the last look at its memory. Written by pool/memory-watch.ts. */
  lookedAtMs = Number.NEGATIVE_INFINITY;
  /** It has done something since. Written by pool/memory-watch.ts. */
  isUnseen = false;
  /** Where it stood when it was near its end, or what it said of it. Written by pool/memory-watch.ts and the child handle. */
  stack: string | null = null;
  /** It was asked where it stands. Written by pool/memory-watch.ts. */
  asked = false;
  /** Why the pool has ended it, for people. Written by whoever kills it. */
  killedBecause: string | null = null;

  get used(): boolean {
    return this.given >= this.quota;
  }

  /** Another should take its place. */
  get isOver(): boolean {
    return this.renewal !== null || this.used;
  }

  get left(): number {
    return this.quota - this.given;
  }
}
