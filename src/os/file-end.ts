/** The end of a file that others write: how long it is now, and the last lines that have come since. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** More is not read, however long the lines are. */
const mostBytes = 64 * 1024;

/** 0 when there is none. */
export function fileSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last lines after `fromByte`, at most `count`; none when the file is not there or cannot be read. */
export function lastLines(path: string, fromByte: number, count: number): readonly string[] {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const { size } = fstatSync(fd);
    // A file that has become shorter was rotated: all of it is new.
    const first = Math.max(size < fromByte ? 0 : fromByte, size - mostBytes);
    const buffer = Buffer.alloc(size - first);
    const read = readSync(fd, buffer, 0, buffer.length, first);
    const lines = buffer.toString('utf8', 0, read).split('\n');
    return lines.filter((line) => line !== '').slice(-count);
  } catch {
    return [];
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
