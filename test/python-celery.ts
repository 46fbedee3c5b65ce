/**
 * Real Python Celery beside a test: an application in a folder of its own, scripts against it, workers.
 *
 * Owns the folder and the processes; both end with the test. A script says what it found as lines of JSON. CELERY_PYTHON names another Python
 * than Debian's: one with another Celery.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { inGoodTime } from './in-good-time.ts';
import { endsWithUs } from './test-server.ts';

const python = process.env.CELERY_PYTHON || '/usr/bin/python3';

/** Why a test with Redis and Celery cannot run here; false when it can. Looks whether they are there, and loads neither. */
export function celeryMissing(): string | false {
  const look = 'import importlib.util as u, sys; sys.exit(None in [u.find_spec(name) for name in ("celery", "redis")])';
  return spawnSync(python, ['-c', look]).status === 0 ? false : 'python3-celery and python3-redis are needed';
}

export interface Script {
  /** The next line it prints, parsed; rejects when none comes in good time. */
  next(): Promise<unknown>;
  /** To its standard input. */
  say(line: string): void;
  /** Everything it still prints; rejects when it ends with an error. */
  rest(): Promise<unknown[]>;
}

export class PythonCelery {
  readonly folder = mkdtempSync(join(tmpdir(), 'umbel-celery-'));
  readonly #processes: ChildProcess[] = [];

  /** `tasksModule` is the file tasks.py; it makes `app`. */
  constructor(t: Test, tasksModule: string) {
    writeFileSync(join(this.folder, 'tasks.py'), tasksModule);
    t.teardown(async () => {
      for (const process of this.#processes) await ended(process, 'SIGKILL');
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  /** Runs with `from tasks import *` before it, and `say(value)` to print a line. */
  script(code: string): Script {
    const prelude = 'import json, sys\nfrom tasks import *\ndef say(value): print(json.dumps(value), flush=True)\n';
    const child = this.#spawn(['-c', prelude + code]);
    let errors = '';
    child.stderr?.on('data', (chunk) => {
      errors += String(chunk);
    });
    const exited = once(child, 'close');
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<string>> => {
      const line = await inGoodTime(lines.next(), () => `the Python script must print a line: ${errors}`);
      if (line.done === true) {
        const [status] = await inGoodTime(exited, () => `the Python script, which prints no more, must end: ${errors}`);
        if (status !== 0) throw new Error(`Python ended with status ${status}: ${errors}`);
      }
      return line;
    };
    return {
      next: async () => {
        const line = await next();
        if (line.done === true) throw new Error(`Python said no more: ${errors}`);
        return JSON.parse(line.value);
      },
      say: (line) => child.stdin?.write(`${line}\n`),
      rest: async () => {
        const values: unknown[] = [];
        for (let line = await next(); line.done !== true; line = await next()) values.push(JSON.parse(line.value));
        return values;
      },
    };
  }

  /** Ready when it resolves. `sociable`: it mingles, gossips and says that it is there. */
  async worker(queues: readonly string[], more: readonly string[] = [], sociable = false): Promise<ChildProcess> {
    const quiet = sociable ? [] : ['--without-gossip', '--without-mingle', '--without-heartbeat'];
    const child = this.#spawn([
      '-m',
      'celery',
      '-A',
      'tasks',
      'worker',
      '-P',
      'solo',
      '-l',
      'info',
      '-Q',
      queues.join(','),
      ...quiet,
      ...more,
    ]);
    let said = '';
    const ready = new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`the Python worker ended: ${said}`)));
      createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
        said += `${line}\n`;
        if (line.endsWith(' ready.')) resolve();
      });
    });
    await inGoodTime(ready, () => `the Python worker must be ready: ${said}`);
    return child;
  }

  #spawn(args: readonly string[]): ChildProcess {
    const child = spawn(python, args, { cwd: this.folder, env: { ...process.env, C_FORCE_ROOT: '1' }, stdio: ['pipe', 'pipe', 'pipe'] });
    endsWithUs(child);
    this.#processes.push(child);
    return child;
  }
}

export async function ended(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exited = once(process, 'exit');
  process.kill(signal);
  await inGoodTime(exited, () => `the Python process ${process.pid} must end by ${signal}`);
}
