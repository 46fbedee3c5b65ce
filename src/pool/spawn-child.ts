/**
 * Spawns the process of a pool child with its pipes.
 *
 * Owns what a child inherits and what it does not. What is said over the pipes is pool/child-handle.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { processTitle } from '../os/process-title.ts';

export interface SpawnedChild {
  readonly process: ChildProcess;
  /** fd 3 of the child. */
  readonly toChild: Writable;
  /** fd 4 of the child. */
  readonly fromChild: Readable;
  /** fd 5 of the child: nothing is ever written; its end tells it that this process is gone. */
  readonly lifeline: Readable;
}

export interface SpawnChildParams {
  readonly command: { readonly execPath: string; readonly args: readonly string[] };
  readonly workdir: string;
  readonly nodeName: string;
  readonly index: number;
}

/** Throws when this process can have no more processes or pipes. */
export function spawnChild({ command, workdir, nodeName, index }: SpawnChildParams): SpawnedChild {
  const child = spawn(command.execPath, [...command.args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    // A session of its own: Ctrl-C reaches the parent alone, and the whole group can be ended at once.
    detached: true,
    cwd: workdir,
    // A long first word leaves room for the title the child gives itself.
    argv0: processTitle(nodeName, `PoolChild-${index}`),
    env: childEnvironment(),
  });
  const pipes = child.stdio as readonly unknown[] | undefined;
  if (pipes === undefined) {
    // Its error event says the same once more, and nobody else would listen.
    child.on('error', () => {});
    throw new Error('this process has no file descriptor left for its pipes (EMFILE)');
  }
  const lifeline = pipes[5] as Readable;
  lifeline.on('error', () => {});
  return { process: child, toChild: pipes[3] as Writable, fromChild: pipes[4] as Readable, lifeline };
}

/** Readiness and watchdog are the parent's to report. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const { NOTIFY_SOCKET: _socket, WATCHDOG_USEC: _interval, WATCHDOG_PID: _pid, ...env } = process.env;
  return env;
}
