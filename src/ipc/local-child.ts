/** Parent and child in one process: each has the other's functions instead of a pipe. */

export interface LocalParent {
  /** Whole frames; they are the parent's. */
  onBytes(bytes: Buffer): void;
  /** The child has ended and says no more. */
  onEnd(status: number): void;
}

export interface LocalChild {
  /** Whole frames; they are the child's. */
  hear(bytes: Buffer): void;
  /** The parent hears no more: what still runs runs for nobody. */
  drop(): void;
}

export type StartLocalChild = (parent: LocalParent) => LocalChild;
