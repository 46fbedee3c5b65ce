/**
 * A process running a few lines of script against the sources, for tests of what only a process of its own can show.
 * Ends it when the test is over.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Test } from 'tap';

export interface ScriptParams {
  readonly args?: readonly string[];
  readonly execArgv?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Program and arguments to put before node. */
  readonly via?: readonly string[];
  readonly detached?: boolean;
}

export interface ScriptProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly pid: number;
  /** Everything written so far. */
  readonly out: string[];
  readonly err: string[];
  /** The first line of stdout or stderr, past or to come, that matches. Rejects when the process ends without. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves when the process has ended and its output is read. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** The script is an ES module; `src` is the address of the source folder. */
export function startScript(t: Test, script: string, params: ScriptParams = {}): ScriptProcess {
  const src = new URL('../../src', import.meta.url).href;
  const code = `const src = ${JSON.stringify(src)};\n${script}`;
  const command = [
    ...(params.via ?? []),
    process.execPath,
    ...(params.execArgv ?? []),
    '--input-type=module',
    '-e',
    code,
    ...(params.args ?? []),
  ];
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: params.env ?? process.env,
    detached: params.detached ?? false,
    ...(params.cwd === undefined ? {} : { cwd: params.cwd }),
  });
  t.teardown(() => child.kill('SIGKILL'));

  const out: string[] = [];
  const err: string[] = [];
  const waiting = new Set<{ pattern: RegExp; resolve: (line: string) => void; reject: (error: Error) => void }>();
  const onLine = (lines: string[], line: string): void => {
    lines.push(line);
    for (const waiter of waiting) {
      if (!waiter.pattern.test(line)) continue;
      waiting.delete(waiter);
      waiter.resolve(line);
    }
  };
  createInterface(child.stdout).on('line', (line) => onLine(out, line));
  createInterface(child.stderr).on('line', (line) => onLine(err, line));

  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (exitCode, signal) => {
      for (const waiter of waiting)
        waiter.reject(new Error(`ended without a line like ${waiter.pattern}:\n${[...out, ...err].join('\n')}`));
      waiting.clear();
      resolve({ code: exitCode, signal });
    });
  });
  return {
    child,
    pid: child.pid ?? 0,
    out,
    err,
    ended,
    line: (pattern) => {
      const past = [...out, ...err].find((line) => pattern.test(line));
      if (past !== undefined) return Promise.resolve(past);
      return new Promise((resolve, reject) => waiting.add({ pattern, resolve, reject }));
    },
  };
}
