/** What a thread of the pool is started with: `workerData`. */
import type { MessagePort } from 'node:worker_threads';

/** The first argument of a program that is to become a pool child in a thread. */
export const threadRole = 'pool-thread';

export interface ThreadStart {
  /** Frames, in both directions. */
  readonly port: MessagePort;
}
