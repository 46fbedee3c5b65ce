/**
 * Start again in place: the same pid, arguments and environment, whatever program now has the same name.
 *
 * Owns finding the program and its arguments, from source and in a single executable. Never stops anything: by the time it is
 * called the worker has stopped, because what is open is lost.
 */

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { isSea } from 'node:sea';
import { messageOf, UmbelError } from '../errors.ts';

/** The folder the process was started in; relative arguments are relative to it. */
const startFolder = process.cwd();

export interface ReexecParams {
  /** Last chance to write: log lines that wait, terminal modes. */
  readonly beforeExec: () => void;
  readonly env?: NodeJS.ProcessEnv;
}

export interface ProgramCall {
  readonly file: string;
  /** Without the program's own name. */
  readonly args: readonly string[];
}

/** The program and the arguments this process was started with. */
export function currentCall(sea: boolean = isSea(), calledAs: string = process.argv0): ProgramCall {
  // In a single executable argv[1] repeats the name it was called by, and execArgv is baked in.
  if (sea) return { file: executableByName(calledAs) ?? process.execPath, args: process.argv.slice(2) };
  return { file: process.execPath, args: [...process.execArgv, ...process.argv.slice(1)] };
}

/** The program alone: what starts this executable again, and the arguments that stand before a command line. */
export function programCall(sea: boolean = isSea(), calledAs: string = process.argv0): ProgramCall {
  const { file, args } = currentCall(sea, calledAs);
  return { file, args: args.slice(0, args.length - process.argv.length + 2) };
}

/** Does not return. Throws NOT_SUPPORTED when the platform cannot, INTERNAL when the program is gone or does not start. */
export function reexec(params: ReexecParams): never {
  const execve: typeof process.execve | undefined = process.execve;
  if (execve === undefined) {
    throw new UmbelError(
      'NOT_SUPPORTED',
      `restarting in place needs process.execve, which Node ${process.version} on ${process.platform} has not`,
    );
  }
  const { file, args } = currentCall();
  try {
    accessSync(file, constants.X_OK);
  } catch (error) {
    throw new UmbelError('INTERNAL', `restarting in place needs the program, which cannot be executed: ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    // A relative --workdir or -A must mean the same the second time.
    process.chdir(startFolder);
  } catch {
    // The folder is gone; absolute paths still work.
  }
  params.beforeExec();
  execve.call(process, file, [process.argv0, ...args], params.env ?? process.env);
  throw new UmbelError('INTERNAL', `executing ${file} did not replace the process`);
}

/**
 * What the name the program was called by leads to today. Not process.execPath, which has symbolic links resolved: after
 * `current` was pointed to a new release, that one still names the old.
 */
function executableByName(name: string): string | undefined {
  if (name.includes('/')) return executable(resolve(startFolder, name));
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const found = folder === '' ? undefined : executable(join(resolve(startFolder, folder), name));
    if (found !== undefined) return found;
  }
  return undefined;
}

function executable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile() ? path : undefined;
  } catch {
    return undefined;
  }
}
