/**
 * The pid file: one worker per path.
 *
 * Content is `<pid>` and a newline, as every Celery tool expects. The file appears complete (written aside, then linked in),
 * and is removed only by the process that made it. Who runs is decided so:
 *  - the file is locked (flock) → its owner runs, in whatever container;
 *  - not locked, and its pid is ours → ours, from before an exec, or from before a restart of the container;
 *  - not locked, and no such process, or one that started after the file was written → stale, replaced;
 *  - not locked, but such a process (Celery itself, or a runtime without FFI) → it runs.
 * A file too long to be a broken pid file is somebody else's, named by mistake: it is refused and not touched.
 * The decision and the replacement happen under a lock of the folder, so two starters cannot both find the file stale.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { lockFile } from './libc.ts';
import { processIsAlive, processStartUnixMs } from './process-info.ts';

/** A process that started this much after the file was written cannot have written it. Covers coarse file times. */
const startSlackMs = 2000;
/** More than a pid file, whole or broken, ever holds. */
const longestContent = 64;
/** How long another starter may hold the folder before we go on without its consent. */
const folderWaitMs = 1000;

export interface Pidfile {
  readonly path: string;
  /** Remove the file if it is still ours. Safe to call again. */
  release(): void;
}

/** Throws PIDFILE_EXISTS when another worker runs, FILE_CANNOT_CREATE when the file cannot be made. */
export function acquirePidfile(pidfilePath: string, log: Logger): Pidfile {
  const path = resolve(pidfilePath);
  const folderFd = openFolder(path);
  try {
    waitForLock(folderFd);
    const fd = takeOver(path, log) ?? create(path);
    return new OwnPidfile(path, fd);
  } finally {
    closeSync(folderFd);
  }
}

/** What a pid file says of the worker that it is of. */
export type PidfileState =
  | { readonly kind: 'running'; readonly pid: number }
  /** Its worker has ended without removing it. */
  | { readonly kind: 'stale'; readonly pid: number }
  | { readonly kind: 'broken' }
  | { readonly kind: 'none' };

/** Looks, and changes nothing. Throws FILE_UNREADABLE when there is a file that may not be read. */
export function readPidfile(pidfilePath: string): PidfileState {
  const path = resolve(pidfilePath);
  let folderFd: number | undefined;
  let fd: number | undefined;
  try {
    folderFd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    // So that a worker that starts does not take our look for another worker.
    waitForLock(folderFd);
    fd = openSync(path, constants.O_RDONLY);
    const locked = lockFile(fd) === 'busy';
    const { size, mtimeMs } = fstatSync(fd);
    const pid = size > longestContent ? null : parsePid(readFileSync(fd, 'latin1'));
    if (pid === null) return { kind: 'broken' };
    return { kind: locked || isRunning(pid, mtimeMs) ? 'running' : 'stale', pid };
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return { kind: 'none' };
    throw new UmbelError('FILE_UNREADABLE', `the pid file must be readable, got ${path}: ${messageOf(error)}`, { cause: error });
  } finally {
    if (fd !== undefined) closeSync(fd);
    if (folderFd !== undefined) closeSync(folderFd);
  }
}

class OwnPidfile implements Pidfile {
  readonly path: string;
  /** Open for as long as the file is ours: it carries the lock. Written by release only. */
  #fd: number | undefined;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  release(): void {
    if (this.#fd === undefined) return;
    const ours = fstatSync(this.#fd);
    try {
      const there = statSync(this.path, { throwIfNoEntry: false });
      if (there !== undefined && there.ino === ours.ino && there.dev === ours.dev) unlinkSync(this.path);
    } catch {
      // The folder is gone or was taken from us; there is nothing of ours left to remove.
    }
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Judge the file that is there. A descriptor when it is ours already; undefined when the way is free. */
function takeOver(path: string, log: Logger): number | undefined {
  let fd: number;
  try {
    fd = openToJudge(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw cannotCreate(path, error);
  }
  let keep = false;
  try {
    if (fstatSync(fd).size > longestContent) throw cannotCreate(path, 'there is a file that is no pid file, which is left as it is');
    const locked = lockFile(fd) === 'busy';
    const pid = parsePid(readFileSync(fd, 'latin1'));
    if (pid === null) {
      if (locked) throw alreadyRunning(path, 'unknown');
      log.warning('pidfile.broken', `Broken pidfile found - Removing it. (${path})`);
    } else if (locked) {
      throw alreadyRunning(path, pid);
    } else if (pid === process.pid) {
      keep = true;
      return fd;
    } else if (isRunning(pid, fstatSync(fd).mtimeMs)) {
      throw alreadyRunning(path, pid);
    } else {
      log.warning('pidfile.stale', `Stale pidfile exists - Removing it. (${path}, pid ${pid})`);
    }
    unlinkSync(path);
    return undefined;
  } catch (error) {
    throw error instanceof UmbelError ? error : cannotCreate(path, error);
  } finally {
    if (!keep) closeSync(fd);
  }
}

/** One that another user has left behind may only be read, which is enough for a lock and for a look. */
function openToJudge(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error;
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  }
}

function isRunning(pid: number, writtenUnixMs: number): boolean {
  if (!processIsAlive(pid)) return false;
  const startedUnixMs = processStartUnixMs(pid);
  return startedUnixMs === null || startedUnixMs <= writtenUnixMs + startSlackMs;
}

/** The descriptor of the new file, locked. */
function create(path: string): number {
  const asidePath = `${path}.${process.pid}.new`;
  let fd: number | undefined;
  try {
    fd = openSync(asidePath, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o644);
    fchmodSync(fd, 0o644);
    lockFile(fd);
    writeSync(fd, `${process.pid}\n`);
    linkOrRename(asidePath, path);
    return fd;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    if (codeOf(error) === 'EEXIST') throw alreadyRunning(path, parsePid(readFileSync(path, 'latin1')) ?? 'unknown');
    throw cannotCreate(path, error);
  } finally {
    removeIfThere(asidePath);
  }
}

/** A link fails when the name is taken; where links do not exist, the folder's lock has to be enough. */
function linkOrRename(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS' && code !== 'EMLINK') throw error;
    renameSync(from, to);
  }
}

function openFolder(path: string): number {
  try {
    return openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw cannotCreate(path, error);
  }
}

function waitForLock(folderFd: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const deadlineMs = performance.now() + folderWaitMs;
  while (lockFile(folderFd) === 'busy' && performance.now() < deadlineMs) Atomics.wait(pause, 0, 0, 5);
}

/** The pid in a file's text; null when the text is not a number and a newline. */
function parsePid(text: string): number | null {
  const match = /^\s*(\d{1,10})\s*\n$/.exec(text);
  const pid = match === null ? 0 : Number(match[1]);
  return pid > 0 ? pid : null;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Renamed into place, or never made.
  }
}

function alreadyRunning(path: string, pid: number | 'unknown'): UmbelError {
  return new UmbelError('PIDFILE_EXISTS', `Pidfile (${path}) already exists. Seems we're already running? (pid: ${pid})`);
}

function cannotCreate(path: string, cause: unknown): UmbelError {
  return new UmbelError('FILE_CANNOT_CREATE', `the pid file must be writable, got ${path}: ${messageOf(cause)}`, { cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
