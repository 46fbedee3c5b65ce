/**
 * A server that a test or a run of tests starts: loopback only, free ports, data in a temporary folder.
 *
 * Owns the process and the folder. Both end with the test, and also when the process that started them is killed. Ready means the server's
 * own words and an answer on its port, never a wait for time. What kind of server it is, is the subclass's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { inGoodTime } from './in-good-time.ts';

/** Of a test, or of whoever else ends what it has started. */
export type Owner = Pick<Test, 'teardown'>;

export interface TestServerParams {
  /** As messages call it. */
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  readonly readyWithinMs: number;
  /** What it writes when it is ready. */
  readonly readyLine: RegExp;
  /** It answers this with anything at all. */
  readonly greeting: string | Buffer;
}

export abstract class TestServer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly folder: string;
  readonly #params: TestServerParams;
  #process: ChildProcess | null = null;

  protected constructor(params: TestServerParams) {
    this.port = params.port;
    this.folder = params.folder;
    this.#params = params;
  }

  /** The server itself, in a process group of its own (`detached`), with both outputs piped. */
  protected abstract spawn(): ChildProcess;

  /** Killed and removed when the owner ends; running when it resolves. */
  protected async startFor(owner: Owner): Promise<void> {
    owner.teardown(async () => {
      await this.kill();
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    });
    await this.start();
  }

  get running(): boolean {
    return this.#process !== null;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`the ${this.#params.name} of this test is not running`);
    return pid;
  }

  /** Again, on the same ports and with the same data. */
  async start(): Promise<void> {
    const { name, readyLine, readyWithinMs, greeting } = this.#params;
    const child = this.spawn();
    endsWithUs(child, { group: true, folder: this.folder });
    this.#process = child;
    const output: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name} is not ready: ${output.join('\n')}`)), readyWithinMs);
      child.once('error', reject);
      child.once('exit', () => {
        clearTimeout(timer);
        if (this.#process === child) this.#process = null;
        reject(new Error(`${name} ended: ${output.join('\n')}`));
      });
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream as NodeJS.ReadableStream }).on('line', (line) => {
          output.push(line);
          if (!readyLine.test(line)) return;
          clearTimeout(timer);
          resolve();
        });
      }
    });
    await inGoodTime(answers(this.host, this.port, greeting), () => `${name} must answer on port ${this.port}: ${output.join('\n')}`);
  }

  /** As an operator stops it: what is durable is kept. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** At once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** It accepts connections (the kernel does) and answers nothing, until `resume`. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    this.#process = null;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (signal === 'SIGKILL') process.kill(-child.pid, 'SIGKILL');
    else {
      child.kill(signal);
      // One that stands still must go on to end.
      child.kill('SIGCONT');
    }
    await inGoodTime(gone, () => `the ${this.#params.name} must end by ${signal}`);
  }
}

export function temporaryFolder(kind: string): string {
  return mkdtempSync(join(tmpdir(), `umbel-${kind}-`));
}

/**
 * Also when the test process is killed: by tap, when its time is over. A process that outlived it would keep the output of tap open, and
 * whoever reads that would wait for ever. With `group` everything in the child's process group ends; `folder` is deleted then.
 */
export function endsWithUs(
  child: ChildProcess,
  { group = false, folder = '' }: { readonly group?: boolean; readonly folder?: string } = {},
): void {
  if (child.pid === undefined) return;
  const script = 'read -r _; kill -s KILL -- "$0"; if [ -n "$1" ]; then rm -rf "$1"; fi';
  const watchdog = spawn('sh', ['-c', script, String(group ? -child.pid : child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  (watchdog.stdin as Socket).unref();
  child.once('exit', () => watchdog.kill('SIGKILL'));
}

/**
 * A port at which nobody else will listen as long as this process lives. It is none of those that the kernel gives to whoever asks for any: such a one is
 * soon somebody else's when the server takes its time to start, or is stopped for a while. And no other test gets it.
 */
export async function freePort(): Promise<number> {
  const [first, end] = quietPorts();
  for (;;) {
    const port = randomInt(first, end);
    if ((await claim(port)) && (await listens({ port, host: '127.0.0.1' }, (server) => server.close()))) return port;
  }
}

/** The last one is not among them. */
function quietPorts(): readonly [number, number] {
  const [first = 32_768, last = 60_999] = (textOf('/proc/sys/net/ipv4/ip_local_port_range') ?? '').match(/\d+/g)?.map(Number) ?? [];
  // Where the kernel gives away nearly all of them, the claim has to be enough.
  if (first < 12_000) return last < 64_000 ? [last + 1, 65_536] : [10_000, 65_536];
  return [10_000, first];
}

/** By an abstract name of the machine's: it is free again when this process has ended, however that ends. Elsewhere than on Linux there are none. */
function claim(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(true);
  return listens({ path: `\0umbel-test-port-${port}` }, (server) => server.unref());
}

function listens(where: ListenOptions, then: (server: Server) => void): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.once('close', () => resolve(true));
    server.listen(where, () => {
      then(server);
      if (server.listening) resolve(true);
    });
  });
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function answers(host: string, port: number, greeting: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(greeting));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`a connection to port ${port} was ended without an answer`)));
    socket.once('data', () => {
      socket.destroy();
      resolve();
    });
  });
}
