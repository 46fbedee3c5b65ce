/** Tasks of the benchmark of children that come and go: one that waits, and one that takes all the memory it can get. */
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';

export const wait = task({ acksLate: true }, (ms: number): Promise<void> => delay(ms));

const hoard: Buffer[] = [];

export const devour = task({ acksLate: true, rejectOnWorkerLost: true }, (): void => {
  for (let taken = 0; taken < 1500; taken += 1) hoard.push(Buffer.alloc(1024 * 1024, 1));
});
