/**
 * What a child lives in: a process of its own, a thread, or the worker itself.
 *
 * Owns the contract only: process-home.ts, thread-home.ts and solo-home.ts fulfil it. What a child does is child/runtime.ts.
 */
import type { ChildSettings } from '../ipc/exchange.ts';
import type { Carrier } from './child-port.ts';

export interface HomeEvents {
  onBytes(bytes: Buffer): void;
  /** An error that nobody caught. */
  onUncaught(error: unknown): void;
  /** It ends now: last words can still be said. */
  onExit(): void;
}

export interface ChildHome {
  /** Task code and the parent take turns in one event loop, and the standard output is the parent's too. */
  readonly sharedWithParent: boolean;
  /** What ends with an error nobody caught. */
  readonly noun: 'child' | 'worker';
  /** Open the way to the parent. Once. */
  open(events: HomeEvents): Carrier;
  /** The parent has said who this child is. */
  settle(settings: ChildSettings): void;
  /** End this child; `onExit` comes first. In a shared home it returns, and the rest of the worker goes on. */
  end(status: number): void;
}
