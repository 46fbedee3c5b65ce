/**
 * A process that leaves its terminal, and the pipe on which it says that it is ready.
 *
 * Node cannot fork, so the process that was called starts the same program again in a session of its own and waits: for the word
 * `ready` on descriptor 3, or for the end. Until then standard error is a pipe to the caller; with the word it becomes /dev/null.
 * UMBEL_READY_FD tells the program that it is the one in the background; it replaces it by UMBEL_DETACHED with its own pid, which it
 * still has after it has executed itself, and its children have not.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { messageOf, UmbelError } from '../errors.ts';
import { replaceDescriptor } from './libc.ts';
import type { ProgramCall } from './reexec.ts';

const readyFd = 3;
const readyWord = 'ready\n';

export interface DetachParams {
  readonly call: ProgramCall;
  readonly env: NodeJS.ProcessEnv;
  /** What it writes to standard error before it is ready. */
  onText(text: string): void;
}

export interface StartedProcess {
  readonly pid: number;
  /** Resolves when it is ready or has ended. */
  readonly outcome: Promise<StartOutcome>;
  kill(signal: NodeJS.Signals): void;
}

export type StartOutcome =
  | { readonly kind: 'ready' }
  | { readonly kind: 'ended'; readonly status: number | null; readonly signal: NodeJS.Signals | null };

/** Throws INTERNAL when the program cannot be started at all. */
export async function startDetached({ call, env, onText }: DetachParams): Promise<StartedProcess> {
  const child = spawn(call.file, [...call.args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...env, UMBEL_READY_FD: String(readyFd), UMBEL_DETACHED: '' },
  });
  const [, , stderr, ready] = child.stdio;
  if (stderr === null || ready === undefined || ready === null || !('on' in stderr) || !('on' in ready))
    throw new UmbelError('INTERNAL', 'the pipes of a detached process must be open');
  stderr.on('data', (chunk: Buffer) => onText(chunk.toString()));
  stderr.on('error', () => {});
  ready.on('error', () => {});
  const outcome = new Promise<StartOutcome>((resolve, reject) => {
    let said = '';
    ready.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said !== readyWord) return;
      resolve({ kind: 'ready' });
    });
    child.on('close', (status, signal) => resolve({ kind: 'ended', status, signal }));
    child.on('error', (error) =>
      reject(new UmbelError('INTERNAL', `${call.file} could not be started: ${messageOf(error)}`, { cause: error })),
    );
  });
  outcome.catch(() => {});
  if (child.pid === undefined) await outcome;
  return { pid: child.pid ?? 0, outcome, kill: (signal) => void child.kill(signal) };
}

/** Is this process the one in the background? Also after it has executed itself. */
export function isDetached(env: NodeJS.ProcessEnv): boolean {
  return env.UMBEL_READY_FD === String(readyFd) || env.UMBEL_DETACHED === String(process.pid);
}

/** In the process in the background: takes the mark out of `env`, and gives back what to call, once, when it is ready. In any other it does nothing. */
export function takeReadiness(env: NodeJS.ProcessEnv): () => void {
  if (env.UMBEL_READY_FD !== String(readyFd)) return () => {};
  delete env.UMBEL_READY_FD;
  env.UMBEL_DETACHED = String(process.pid);
  // Whoever waited may have gone.
  process.stderr.on('error', () => {});
  return () => {
    try {
      const nullFd = openSync('/dev/null', 'r+');
      replaceDescriptor(nullFd, 2);
      closeSync(nullFd);
      writeSync(readyFd, readyWord);
      closeSync(readyFd);
    } catch {
      // Nobody waits any more.
    }
  };
}
