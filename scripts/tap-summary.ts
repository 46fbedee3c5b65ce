/**
 * Follows the TAP that `tap run --reporter=tap` prints, line by line: prints one line per test file, everything a failing file said,
 * and sums up. tap's own closing line holds the numbers of assertions; what it does not count as a failure is added here: a file
 * that did not report, and a file that ran no assertion. At the end it says in short what has failed.
 */
import { TapFailures } from './tap-failures.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

export class TapSummary {
  readonly #files: readonly string[];
  readonly #print: (line: string) => void;
  readonly #reported = new Set<string>();
  readonly #problems: string[] = [];
  readonly #failures = new TapFailures();
  /** Lines of the current file, kept until it is known whether it failed. */
  #held: string[] = [];
  /** Inside the diagnostics of a failed file. */
  #failing = false;
  /** tap's last line; without it the run was cut off. */
  #totals: Counts | null = null;
  #failedFiles = 0;

  /** `files` are the paths as given to tap. */
  constructor(files: readonly string[], print: (line: string) => void) {
    this.#files = files;
    this.#print = print;
  }

  line(line: string): void {
    this.#failures.line(line);
    if (line.startsWith('# Subtest: ')) {
      this.#held = [line];
      this.#failing = false;
      return;
    }
    const totals = /^# (\{ total: .*\})$/.exec(line);
    if (totals !== null) {
      const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0);
      this.#totals = { passed: count('pass'), failed: count('fail') };
      return;
    }
    const result = /^(not )?ok \d+ - (\S+)(.*)$/.exec(line);
    if (result !== null) this.#fileEnds(line, result[2] ?? '', result[1] === undefined, result[3] ?? '');
    else if (this.#failing) this.#print(line);
    else this.#held.push(line);
  }

  #fileEnds(line: string, name: string, ok: boolean, rest: string): void {
    this.#reported.add(name);
    if (!ok) {
      this.#failedFiles += 1;
      this.#failing = true;
      for (const held of this.#held) this.#print(held);
      this.#print(line);
    } else if (/ # SKIP no tests found/.test(rest)) this.#problems.push(`${name} ran no assertion`);
    else this.#print(`ok - ${name}${rest}`);
    this.#held = [];
  }

  /** The sums; prints what is missing. `tapStatus` is tap's exit status, null when a signal ended it. */
  end(tapStatus: number | null): Counts {
    for (const file of this.#files) if (!this.#reported.has(file)) this.#problems.push(`${file} did not report`);
    if (this.#totals === null) this.#problems.push('tap ended before its summary');
    const failed = Math.max(this.#totals?.failed ?? 0, this.#failedFiles) + this.#problems.length;
    if (failed === 0 && tapStatus !== 0) this.#problems.push(`tap ended with status ${tapStatus} although every assertion passed`);
    for (const line of this.#failures.summary()) this.#print(line);
    for (const problem of this.#problems) this.#print(`not ok - ${problem}`);
    return { passed: this.#totals?.passed ?? 0, failed: failed === 0 ? this.#problems.length : failed };
  }
}
