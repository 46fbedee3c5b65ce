/**
 * A test's own place in the world: an empty folder with its own state folder, in which umbel is run.
 *
 * Owns the folder and everything started in it: when the test ends, workers are killed by their pids and the folder is deleted.
 * The environment holds nothing of the machine's configuration, so a test means the same everywhere.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import type { Broker } from '../../src/broker/broker.ts';
import { openConnections } from '../../src/client/connections.ts';
import { App } from '../../src/client/umbel.ts';
import { createLogger } from '../../src/log/create-logger.ts';
import { endsWithUs } from '../test-server.ts';
import { LiveWorker } from './live-worker.ts';
import { umbelBinary } from './umbel-binary.ts';

/** Nothing takes longer than this unless it hangs. The machine may be busy. */
const commandTimeoutMs = 60_000;

/**
 * Put before every program; each replaces itself by the next, so the pid is the program's. tap adds its own loader to the
 * NODE_OPTIONS of whatever a test starts, which has no business in the executable; and a test that is killed takes along what it started.
 */
const launcher = ['env', '-u', 'NODE_OPTIONS', 'setpriv', '--pdeathsig', 'KILL'];

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Program and arguments to put before umbel. */
  readonly via?: readonly string[];
  /** For one that does the work of many. */
  readonly limitMs?: number;
}

export class LiveFolder {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #processes: ChildProcess[] = [];
  readonly #clients: { stop(): Promise<void> }[] = [];

  constructor(t: Test) {
    this.path = mkdtempSync(join(tmpdir(), 'umbel-live-'));
    const { PATH, LANG, TMPDIR } = process.env;
    this.env = {
      PATH,
      LANG,
      TMPDIR,
      HOME: this.path,
      XDG_STATE_HOME: join(this.path, '.state'),
      XDG_CONFIG_HOME: join(this.path, '.config'),
      XDG_CACHE_HOME: join(this.path, '.cache'),
      // Root would use that of the machine.
      RUNTIME_DIRECTORY: join(this.path, '.run'),
      C_FORCE_ROOT: '1',
      // A second at every start; test/live/monitoring.test.ts has it on.
      UMBEL_WORKER_ENABLE_MINGLE: 'false',
    };
    t.teardown(async () => {
      for (const client of this.#clients) await client.stop();
      for (const started of this.#processes) await endProcess(started);
      rmSync(this.path, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  /** The file of the embedded broker that is used when nothing else is said. */
  get database(): string {
    return join(this.path, '.state/umbel/umbel.db');
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Of a database in this folder. */
  sqliteUrl(name: string): string {
    return `sqlite:///${this.file(name)}`;
  }

  write(name: string, text: string): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), 'utf8');
  }

  /** A client on this folder's embedded broker, in the test's own process. */
  async client(): Promise<App> {
    mkdirSync(dirname(this.database), { recursive: true });
    const client = new App({ broker: `sqlite:///${this.database}` });
    this.#clients.push(client);
    await client.start();
    return client;
  }

  /** The embedded broker itself, for messages no client would send. */
  async broker(): Promise<Broker> {
    mkdirSync(dirname(this.database), { recursive: true });
    const { broker } = openConnections({
      brokerUrl: `sqlite:///${this.database}`,
      backendUrl: 'disabled',
      env: this.env,
      workdir: this.path,
      synchronous: 'normal',
      busyTimeoutMs: 10_000,
      leaseMs: 30_000,
      resultExpiresMs: null,
      log: createLogger({ level: 'critical', format: 'text', processName: 'test' }),
    });
    this.#clients.push(broker);
    await broker.start();
    return broker;
  }

  /** Run `umbel <args>` to its end. */
  umbel(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return this.run(umbelBinary, args, options);
  }

  /** Run any program to its end. A program that does not end is killed, and the signal says so. */
  run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const started = this.#spawn(program, args, options);
    let stdout = '';
    let stderr = '';
    started.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    started.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const timer = setTimeout(() => started.kill('SIGKILL'), options.limitMs ?? commandTimeoutMs);
    return new Promise((resolve, reject) => {
      started.on('error', reject);
      started.on('close', (status, signal) => {
        clearTimeout(timer);
        resolve({ status, signal, stdout, stderr });
      });
    });
  }

  /** Start `umbel worker <args>` with its log as JSON lines; its events are awaited by name. */
  worker(args: readonly string[], options: RunOptions = {}): LiveWorker {
    return this.start(['worker', '--log-format', 'json', '-l', 'debug', ...args], options);
  }

  /** Start `umbel <args>` and leave it running. */
  start(args: readonly string[], options: RunOptions = {}): LiveWorker {
    return new LiveWorker(this.#spawn(umbelBinary, args, options));
  }

  /** The log, as JSON lines, of a worker in the background: of a LiveWorker all but its process. */
  follow(file: string): LiveWorker {
    return new LiveWorker(this.#spawn('sh', ['-c', 'exec tail -n +1 -F "$0" >&2', this.file(file)], {}));
  }

  #spawn(program: string, args: readonly string[], { env, cwd, via }: RunOptions): ChildProcess {
    const [first, ...rest] = [...launcher, ...(via ?? []), program, ...args] as [string, ...string[]];
    const started = spawn(first, rest, {
      cwd: cwd ?? this.path,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endsWithUs(started);
    this.#processes.push(started);
    return started;
  }
}

async function endProcess(started: ChildProcess): Promise<void> {
  if (started.pid === undefined || started.exitCode !== null || started.signalCode !== null) return;
  const gone = new Promise((resolve) => started.once('exit', resolve));
  started.kill('SIGKILL');
  await gone;
}
