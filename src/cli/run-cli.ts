/**
 * The command line: argv in, exit status out.
 *
 * Owns the outermost catch: whatever a command throws becomes one message and an exit status, never a stack trace (UMBEL_DEBUG=1
 * shows it). `--version` is answered before anything else is loaded. Never ends the process.
 */
import { version } from '../std/version.ts';
import type { Surroundings } from './surroundings.ts';

/** `argv` without the executable and the script. Resolves to the exit status; never rejects. */
export async function runCli(argv: readonly string[], surroundings: Surroundings = processSurroundings()): Promise<number> {
  if (argv[0] === '--version') {
    surroundings.stdout.write(`umbel ${version()}\n`);
    return 0;
  }
  const [{ dispatch }, { reportError }] = await Promise.all([import('./dispatch.ts'), import('./report-error.ts')]);
  try {
    return await dispatch(argv, surroundings);
  } catch (thrown) {
    return reportError(thrown, surroundings);
  }
}

function processSurroundings(): Surroundings {
  if (!process.stdout.listeners('error').includes(ignoreError)) process.stdout.on('error', ignoreError);
  const { env, stdout, stderr } = process;
  // Looked at only by commands that read it: from then on it keeps the process alive.
  return {
    env,
    cwd: process.cwd(),
    stdout,
    stderr,
    get stdin() {
      return process.stdin;
    },
  };
}

/** Output that takes nothing must not end a worker; what it means for other commands is decided in dispatch.ts. */
function ignoreError(): void {}
