/**
 * A test's folder whose workers are in the background, each with its pid file in `run/`. Nothing else ends them, so they end with the test.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { LiveFolder } from './live-folder.ts';
import { isRunning } from './live-worker.ts';

export class BackgroundFolder extends LiveFolder {
  readonly #test: Test;

  constructor(t: Test) {
    super(t);
    this.#test = t;
    t.teardown(() => {
      for (const pid of this.pids()) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    });
  }

  /** What the pid files say, in the order of their names. */
  pids(): number[] {
    const run = this.file('run');
    return existsSync(run)
      ? readdirSync(run)
          .toSorted()
          .map((name) => Number(this.read(join('run', name))))
      : [];
  }

  /** Of a worker that is starting: from its pid file, which appears whole. */
  pidIn(file: string): Promise<number> {
    return eventually(this.#test, `${file} is there`, () => existsSync(this.file(file)) && Number(this.read(file)));
  }
}
