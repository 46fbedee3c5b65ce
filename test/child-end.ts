/** The end of a child process, whether it is to come or has been. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { inGoodTime } from './in-good-time.ts';

/** `once(child, 'exit')` alone waits for ever when the child has ended before. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await inGoodTime(once(child, 'exit'), () => `process ${child.pid} must end`);
}
