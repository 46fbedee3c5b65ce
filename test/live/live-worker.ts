/**
 * One running `umbel worker`, seen from outside: its pid, its log events as they come, its children, its end.
 *
 * Tests wait for events here and never sleep. Every wait fails with the worker's last lines when its time is over or the
 * worker ends first.
 */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** A JSON log line. */
export interface LogEvent {
  readonly ts: string;
  readonly level: string;
  readonly process: string;
  readonly event: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export type Matches = (event: LogEvent) => boolean;

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const waitMs = 30_000;
const shownLines = 30;

interface Waiter {
  readonly look: () => boolean;
  readonly fail: (why: string) => void;
}

export class LiveWorker {
  /** Every event so far, oldest first. */
  readonly events: LogEvent[] = [];
  /** Everything it wrote, line by line. */
  readonly lines: string[] = [];
  /** What it wrote to stdout. */
  readonly stdout: string[] = [];
  readonly exited: Promise<WorkerEnd>;
  readonly #process: ChildProcess;
  readonly #waiters = new Set<Waiter>();
  #end: WorkerEnd | null = null;

  constructor(started: ChildProcess) {
    this.#process = started;
    if (started.stdout !== null) createInterface({ input: started.stdout }).on('line', (line) => this.#onLine(line, true));
    if (started.stderr !== null) createInterface({ input: started.stderr }).on('line', (line) => this.#onLine(line, false));
    this.exited = new Promise((resolve) => {
      started.on('close', (code, signal) => {
        this.#end = { code, signal };
        for (const waiter of this.#waiters) waiter.fail(`it ended with ${signal ?? code}`);
        resolve(this.#end);
      });
    });
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error('the worker could not be started');
    return this.#process.pid;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#end !== null)
      throw new Error(this.#story(`must live to get ${signal}, but it ended with ${this.#end.signal ?? this.#end.code}`));
    process.kill(this.pid, signal);
  }

  /** TERM, and wait for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<WorkerEnd> {
    this.kill(signal);
    return this.end();
  }

  /** Its end, in good time. */
  async end(timeoutMs = waitMs): Promise<WorkerEnd> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(this.#story('must end'))), timeoutMs);
    try {
      return await Promise.race([this.exited, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async ready(): Promise<this> {
    await this.event('worker.ready');
    return this;
  }

  /** A point in the log; pass it as `since` to look at what comes after it. */
  now(): number {
    return this.events.length;
  }

  /** The first event with this name, past (from `since`) or to come, that matches. */
  event(name: string, matches: Matches = () => true, since = 0): Promise<LogEvent> {
    return this.#wait(`must log ${name}`, () =>
      this.events.find((event, index) => index >= since && event.event === name && matches(event)),
    );
  }

  /** So many events with this name. */
  async count(name: string, wanted: number, matches: Matches = () => true, since = 0): Promise<LogEvent[]> {
    return this.#wait(`must log ${name} ${wanted} times`, () => {
      const found = this.events.filter((event, index) => index >= since && event.event === name && matches(event));
      return found.length >= wanted ? found : undefined;
    });
  }

  /** The first line, JSON or not, that matches. */
  line(pattern: RegExp, limitMs = waitMs): Promise<string> {
    return this.#wait(`must write a line like ${pattern}`, () => this.lines.find((line) => pattern.test(line)), limitMs);
  }

  /** All events with this name so far. */
  all(name: string): LogEvent[] {
    return this.events.filter((event) => event.event === name);
  }

  /** Pids of its children, oldest first. */
  children(): number[] {
    return childrenOf(this.pid);
  }

  #onLine(line: string, isStdout: boolean): void {
    this.lines.push(line);
    if (isStdout) this.stdout.push(line);
    else if (line.startsWith('{')) {
      try {
        this.events.push(JSON.parse(line) as LogEvent);
      } catch {
        // Not a log line; it is among the lines.
      }
    }
    for (const waiter of this.#waiters) if (waiter.look()) this.#waiters.delete(waiter);
  }

  #wait<T>(what: string, find: () => T | undefined, limitMs = waitMs): Promise<T> {
    const found = find();
    if (found !== undefined) return Promise.resolve(found);
    if (this.#end !== null)
      return Promise.reject(new Error(this.#story(`${what}, but it ended with ${this.#end.signal ?? this.#end.code}`)));
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        reject(new Error(this.#story(`${what}, but ${why}`)));
      };
      const timer = setTimeout(() => fail(`did not within ${limitMs / 1000}s`), limitMs);
      const waiter: Waiter = {
        look: () => {
          const now = find();
          if (now === undefined) return false;
          clearTimeout(timer);
          resolve(now);
          return true;
        },
        fail,
      };
      this.#waiters.add(waiter);
    });
  }

  #story(what: string): string {
    return `the worker ${what}. Its last lines:\n${this.lines.slice(-shownLines).join('\n')}`;
  }
}

/** Pids of the processes a process has started and that live (or are zombies). */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .filter((text) => text !== '')
      .map(Number);
  } catch {
    return [];
  }
}

/** Does it run? A zombie does not. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

/** Between two looks no more than this is counted: while the machine stood still nobody could end. */
const longestLookMs = 100;

/** Resolves when none of the processes runs; the names of those that still do after the time. */
export async function allGone(pids: readonly number[], timeoutMs = 10_000): Promise<number[]> {
  let leftMs = timeoutMs;
  let lookedAtMs = performance.now();
  let left = pids.filter(isRunning);
  while (left.length > 0 && leftMs > 0) {
    // Nobody but the parent of a process is told of its end, so there is nothing but looking again.
    await new Promise((resolve) => setTimeout(resolve, 5));
    left = left.filter(isRunning);
    const nowMs = performance.now();
    leftMs -= Math.min(nowMs - lookedAtMs, longestLookMs);
    lookedAtMs = nowMs;
  }
  return left;
}

/** Pids of every running process whose current folder is this one. */
export function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0 && currentFolder(pid) === folder && isRunning(pid));
}

function currentFolder(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}
