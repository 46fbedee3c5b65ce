/**
 * What a child handle has of its child, whatever that runs in: a way for frames in both directions, and what can be done from
 * outside.
 *
 * Owns the contract only: process-link.ts, thread-link.ts and solo-link.ts fulfil it. What frames mean is pool/child-handle.ts.
 */
import type { UmbelError } from '../errors.ts';
import type { ChildSettings } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { ChildInspector } from './child-inspector.ts';
import type { Job } from './job.ts';
import type { PoolFeatures, PoolName } from './pool.ts';

/** One of the ways to run children; a pool has children of one kind. */
export interface ChildKind {
  readonly name: PoolName;
  readonly features: PoolFeatures;
  /** Each child is a process of its own, which may be signalled. */
  readonly processes: boolean;
  /** A lost child can be replaced; else the worker ends with it. */
  readonly replaceable: boolean;
  /** A new child, told nothing yet. Throws when the system can have no more of them. */
  open(params: LinkParams): ChildLink;
}

export interface LinkParams {
  readonly index: number;
  readonly settings: ChildSettings;
  /** What the child holds, in the order sent: whose output it is. */
  readonly jobs: ReadonlyMap<number, Job>;
  /** For what is written past the child's own logging. */
  readonly log: Logger;
  readonly events: LinkEvents;
}

export interface LinkEvents {
  /** The child has written; frames may come in pieces. */
  onBytes(bytes: Buffer): void;
  /** Once, when the child has ended and all that it had said has been heard. */
  onGone(end: ChildEnd): void;
}

export interface ChildEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What kept it from coming to life at all. */
  readonly failure: UmbelError | null;
  /** What it wrote last, where it was not asked; null or absent: nothing. */
  readonly lastWords?: string | null;
}

export interface ChildLink {
  /** Of the process it runs in. */
  readonly pid: number;
  /** Takes whole frames. Those for a child that has ended are dropped. */
  write(frames: Buffer): void;
  /** The child need not be heard for so long, where that saves work. */
  rest(forMs: number): void;
  /** Stop it where it is, until `thaw`; what it had said is still heard. false: that cannot be done to it. */
  freeze(): Promise<boolean>;
  thaw(): void;
  /** End it from outside, with all that it has spawned where that is known. `onGone` follows. */
  kill(signal: NodeJS.Signals | number): void;
  readonly inspector: ChildInspector;
  /** What it wrote last may still be on its way. */
  jobEnded(job: Job): void;
}
