/**
 * When a child process is over: it has ended and what it had said is read.
 *
 * Owns the patience with a pipe that somebody else (a grandchild) keeps open. Never reads a frame.
 */
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

/** How long the pipe may stay open after its process is gone before the rest is given up. */
const pipeGraceMs = 500;

/** Calls back once, after the end of the process, when the pipe has ended or nothing more comes. */
export function whenOver(
  child: ChildProcess,
  pipe: Readable,
  isOver: (exitCode: number | null, signal: NodeJS.Signals | null) => void,
): void {
  child.once('exit', (exitCode, signal) => {
    pipe.resume();
    if (pipe.closed || pipe.readableEnded) return isOver(exitCode, signal);
    let heard = false;
    pipe.on('data', () => {
      heard = true;
    });
    // Given up only when a look at the pipe has found nothing: this process may have stood still for all of the grace.
    const giveUp = (): void => {
      heard = false;
      setImmediate(() => {
        if (heard && !pipe.closed) grace = setTimeout(giveUp, pipeGraceMs);
        else pipe.destroy();
      });
    };
    let grace = setTimeout(giveUp, pipeGraceMs);
    pipe.once('close', () => {
      clearTimeout(grace);
      isOver(exitCode, signal);
    });
  });
}
