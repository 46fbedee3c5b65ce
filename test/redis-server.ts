/**
 * A Redis server of a test's own: loopback only, a free port, data in a temporary folder. It starts in some hundredths of a second.
 *
 * REDIS_SERVER names another server than the `redis-server` of PATH: another version, or Valkey.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type Owner, TestServer, temporaryFolder } from './test-server.ts';

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

export class RedisServer extends TestServer {
  readonly socketPath: string;
  readonly #options: RedisServerOptions;

  private constructor(port: number, folder: string, options: RedisServerOptions) {
    // Any answer will do: one that wants a password is up as well.
    super({ name: 'Redis server', port, folder, readyWithinMs: 30_000, readyLine: /Ready to accept connections/, greeting: 'PING\r\n' });
    this.socketPath = join(folder, 'redis.sock');
    this.#options = options;
  }

  /** Running when it resolves; killed and removed when the owner ends. */
  static async start(owner: Owner, options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), temporaryFolder('redis'), options);
    await server.startFor(owner);
    return server;
  }

  url(db = 0): string {
    return `redis://${this.host}:${this.port}/${db}`;
  }

  protected override spawn(): ChildProcess {
    // A file, and not its standard input: Sentinel has servers rewrite their configuration.
    const configPath = join(this.folder, 'redis.conf');
    writeFileSync(configPath, this.#configText());
    return spawn(redisProgram, [configPath], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
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
}
