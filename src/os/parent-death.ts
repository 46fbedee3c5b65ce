/**
 * A pool child and what its tasks have spawned must not outlive the parent, not even after `kill -9` of it, not even while the
 * child spins in a loop and reads no pipe.
 */

import { constants } from 'node:os';
import { setParentDeathSignal, signalGroupOnHangUp } from './libc.ts';

/**
 * Have the kernel kill this process when the parent ends, with its whole group when `lifelineFd` is a socket whose other end the
 * parent holds and never writes to, and this process leads a group. When the parent has ended before the kernel knew of our wish,
 * the process ends here. false: the platform cannot do it, and the caller must watch the pipe to the parent instead.
 *
 * Must be called in the main thread of a process whose parent started it from its own main thread: without a lifeline the kernel
 * watches the thread, not the process.
 */
export function dieWithParent(expectedParentPid: number, lifelineFd?: number): boolean {
  // One or the other: a death signal may come before the parent's files are closed, and a dead child has no lifeline any more.
  const asked =
    (lifelineFd !== undefined && signalGroupOnHangUp(lifelineFd, constants.signals.SIGKILL)) ||
    setParentDeathSignal(constants.signals.SIGKILL);
  if (process.ppid !== expectedParentPid) process.kill(process.pid, 'SIGKILL');
  return asked;
}
