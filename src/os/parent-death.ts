/**
 * A pool child must not outlive its parent, not even after `kill -9` of the parent.
 */

import { constants } from 'node:os';
import { setParentDeathSignal } from './libc.ts';

/**
 * Have the kernel kill this process when the parent ends. When the parent has ended before the kernel knew of our wish, the
 * process ends here. false: the platform cannot do it, and the caller must watch the pipe to the parent instead.
 *
 * Must be called in the main thread of a process whose parent started it from its own main thread: the kernel watches the
 * thread, not the process.
 */
export function dieWithParent(expectedParentPid: number): boolean {
  const asked = setParentDeathSignal(constants.signals.SIGKILL);
  if (process.ppid !== expectedParentPid) process.kill(process.pid, 'SIGKILL');
  return asked;
}
