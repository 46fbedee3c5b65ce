/**
 * A lock that one process has at a time, on a path of its own.
 *
 * The file stays when the lock is given up: what counts is the kernel's lock of it (flock), which ends with the process, however that ends. Its
 * content, the pid, says who has it. Without FFI there is no such lock, and then the pid decides.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { lockFile } from './libc.ts';
import { processIsAlive, processStartUnixMs } from './process-info.ts';

/** A process that started this much after the file was written cannot have written it. Covers coarse file times. */
const startSlackMs = 2000;

export interface FileLock {
  /** Safe to call again. */
  release(): void;
}

export type LockAttempt = { readonly lock: FileLock } | { readonly heldBy: string };

/** Throws when the file cannot be made. */
export function lockPath(path: string, tryLock: typeof lockFile = lockFile): LockAttempt {
  let fd: number | null = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
  const release = (): void => {
    if (fd !== null) closeSync(fd);
    fd = null;
  };
  try {
    const taken = tryLock(fd);
    const holder = Number(readFileSync(fd, 'latin1').trim());
    if (taken === 'busy' || (taken === 'unavailable' && isRunning(holder, fstatSync(fd).mtimeMs))) {
      release();
      return { heldBy: holder > 0 ? `process ${holder}` : 'another process' };
    }
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`, 0);
    return { lock: { release } };
  } catch (error) {
    release();
    throw error;
  }
}

function isRunning(pid: number, writtenUnixMs: number): boolean {
  if (!(pid > 0) || pid === process.pid || !processIsAlive(pid)) return false;
  const startedUnixMs = processStartUnixMs(pid);
  return startedUnixMs === null || startedUnixMs <= writtenUnixMs + startSlackMs;
}
