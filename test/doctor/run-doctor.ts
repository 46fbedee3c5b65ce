/** Runs `umbel check` and `umbel doctor` in the test's process, and gives back the codes of what they found. */
import { resolve } from 'node:path';
import { type Ran, runInMemory } from '../cli/run-in-memory.ts';

// What children are started with is the program, which a test is not.
process.argv[1] = resolve(import.meta.dirname, '../../src/main.ts');

export interface Looked extends Ran {
  readonly codes: readonly string[];
  readonly findings: readonly {
    readonly code: string;
    readonly text: string;
    readonly place: string | null;
    readonly nodes: readonly string[];
  }[];
}

export interface LookParams {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** `argv` begins with the command. As JSON, which the codes are read from. */
export async function look(argv: readonly string[], { cwd, env = {} }: LookParams): Promise<Looked> {
  const [command = '', ...rest] = argv;
  const ran = await runInMemory([command, '-j', ...rest], { cwd, env: { C_FORCE_ROOT: '1', XDG_STATE_HOME: `${cwd}/.state`, ...env } });
  const findings = ran.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Looked['findings'][number]);
  return { ...ran, findings, codes: findings.map(({ code }) => code) };
}
