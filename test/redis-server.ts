/**
 * A Redis server of a test's own: loopback only, a free port, data in a temporary folder.
 *
 * Owns the process and the folder; both end with the test. Waits for Redis's own words ("Ready to accept connections") and a
 * PONG, never for time. REDIS_SERVER names another server than the `redis-server` of PATH: another version, or Valkey.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';

export interface RedisServerOptions {
  /** Lines of redis.conf: { appendonly: 'yes', requirepass: 'secret' }. A list gives the directive more than once. */
  readonly config?: Readonly<Record<string, string | readonly string[]>>;
}

export const redisProgram = process.env.REDIS_SERVER || 'redis-server';

/** Of the server that the tests start. */
export function redisVersion(): { readonly name: string; readonly major: number; readonly minor: number } {
  const text = execFileSync(redisProgram, ['--version'], { encoding: 'utf8' });
  // Valkey 7.2 leaves its name out.
  const [, name = 'valkey', major, minor] = /^(?:(\w+) s|S)erver v=(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined) throw new Error(`${redisProgram} --version says ${text}`);
  return { name: name.toLowerCase(), major: Number(major), minor: Number(minor) };
}

const readyWithinMs = 30_000;

/** Why a test that takes rights away must be skipped; false: it can run. */
export function withoutRights(): string | false {
  const { name, major } = redisVersion();
  return name === 'redis' && major < 6 ? 'Redis before 6 has no ACL' : false;
}

/** ACL rules of a user who may do everything. Channels have rights since 6.2. */
export function everyRight(): string[] {
  const { major, minor } = redisVersion();
  return ['on', '>secret', '~*', '+@all', ...(major === 6 && minor < 2 ? [] : ['&*'])];
}

export class RedisServer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly folder: string;
  readonly socketPath: string;
  readonly #options: RedisServerOptions;
  #process: ChildProcess | null = null;
  #output: string[] = [];

  private constructor(port: number, folder: string, options: RedisServerOptions) {
    this.port = port;
    this.folder = folder;
    this.socketPath = join(folder, 'redis.sock');
    this.#options = options;
  }

  /** Running when it resolves; killed and removed when the test ends. */
  static async start(t: Pick<Test, 'teardown'>, options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), mkdtempSync(join(tmpdir(), 'umbel-redis-')), options);
    t.teardown(async () => {
      await server.kill();
      rmSync(server.folder, { recursive: true, force: true, maxRetries: 5 });
    });
    await server.start();
    return server;
  }

  url(db = 0): string {
    return `redis://${this.host}:${this.port}/${db}`;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('the Redis server of this test is not running');
    return pid;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Again, on the same port and with the same data. */
  async start(): Promise<void> {
    // A file, and not its standard input: Sentinel has servers rewrite their configuration.
    const configPath = join(this.folder, 'redis.conf');
    writeFileSync(configPath, this.#configText());
    const process = spawn(redisProgram, [configPath], { stdio: ['ignore', 'pipe', 'pipe'] });
    endsWithUs(process);
    this.#process = process;
    this.#output = [];
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${redisProgram} is not ready: ${this.#output.join('\n')}`)), readyWithinMs);
      process.once('error', reject);
      process.once('exit', () => {
        clearTimeout(timer);
        if (this.#process === process) this.#process = null;
        reject(new Error(`${redisProgram} ended: ${this.#output.join('\n')}`));
      });
      createInterface({ input: process.stderr }).on('line', (line) => this.#output.push(line));
      createInterface({ input: process.stdout }).on('line', (line) => {
        this.#output.push(line);
        if (!/Ready to accept connections/.test(line)) return;
        clearTimeout(timer);
        resolve();
      });
    });
    await ping(this.host, this.port);
  }

  /** As an operator stops it: with AOF or save points, data is kept. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

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

  /** One command through redis-cli, as somebody else on the server would give it. Throws on an error reply. */
  cli(...args: readonly string[]): string {
    const auth = typeof this.#options.config?.requirepass === 'string' ? ['-a', this.#options.config.requirepass, '--no-auth-warning'] : [];
    return execFileSync('redis-cli', ['-e', '-h', this.host, '-p', String(this.port), ...auth, ...args], { encoding: 'utf8' }).trimEnd();
  }

  #configText(): string {
    const config: Record<string, string | readonly string[]> = {
      bind: this.host,
      port: String(this.port),
      unixsocket: this.socketPath,
      dir: this.folder,
      save: '""',
      appendonly: 'no',
      ...this.#options.config,
    };
    return Object.entries(config)
      .flatMap(([key, value]) => (typeof value === 'string' ? [`${key} ${value}\n`] : value.map((one) => `${key} ${one}\n`)))
      .join('');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    const ended = new Promise((resolve) => process.once('exit', resolve));
    process.kill(signal);
    process.kill('SIGCONT');
    await ended;
  }
}

/**
 * Also when the test process is killed: by tap, when its time is over. A server that outlived it would keep the output of tap open, and
 * whoever reads that would wait for ever.
 */
export function endsWithUs(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const watchdog = spawn('sh', ['-c', 'read -r _; kill -9 "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  (watchdog.stdin as Socket).unref();
  child.once('exit', () => watchdog.kill('SIGKILL'));
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

/** Any answer will do: one that wants a password is up as well. */
function ping(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write('PING\r\n'));
    socket.once('error', reject);
    socket.once('data', () => {
      socket.destroy();
      resolve();
    });
  });
}
