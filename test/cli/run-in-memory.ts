/** Runs a command line inside the test and gives back what it wrote and its status. */
import { Readable } from 'node:stream';
import { runCli } from '../../src/cli/run-cli.ts';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runInMemory(
  argv: readonly string[],
  { env = {}, cwd, tty = false, input = '' }: { env?: NodeJS.ProcessEnv; cwd: string; tty?: boolean; input?: string },
): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const status = await runCli(argv, {
    env: { HOME: cwd, ...env },
    cwd,
    stdin: Readable.from(input === '' ? [] : [input]),
    stdout: { write: (text) => (stdout += text), isTTY: tty },
    stderr: { write: (text) => (stderr += text), isTTY: tty },
  });
  return { status, stdout, stderr };
}
