/**
 * A RabbitMQ server of a test file's own: loopback only, free ports, an epmd and a cookie of its own, data in a temporary folder.
 *
 * Owns the processes and the folder; all end with the test. Ready means RabbitMQ's own words ("completed with") and an answer on the port,
 * never a wait for time. A start takes about four seconds: share one server in a test file, and give tests queues or vhosts of their own.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { endsWithUs, freePort } from './redis-server.ts';

export interface RabbitmqServerOptions {
  /** Lines of rabbitmq.conf: { consumer_timeout: '5000' }. */
  readonly config?: Readonly<Record<string, string>>;
  /** Enabled plugins, e.g. rabbitmq_auth_mechanism_ssl. */
  readonly plugins?: readonly string[];
  /** Also listen with TLS; the files must exist. Adds the port as `tlsPort`. */
  readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string; readonly verifyPeer?: boolean };
}

interface Ports {
  readonly amqp: number;
  readonly tls: number;
  readonly dist: number;
  readonly epmd: number;
}

const programs = '/usr/lib/rabbitmq/bin';
const readyWithinMs = 60_000;
const run = promisify(execFile);

export class RabbitmqServer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly tlsPort: number;
  readonly folder: string;
  readonly #ports: Ports;
  readonly #env: NodeJS.ProcessEnv;
  #epmd: ChildProcess | null = null;
  #process: ChildProcess | null = null;
  #output: string[] = [];

  private constructor(ports: Ports, folder: string, options: RabbitmqServerOptions) {
    this.port = ports.amqp;
    this.tlsPort = ports.tls;
    this.folder = folder;
    this.#ports = ports;
    this.#env = prepare(ports, folder, options);
  }

  /** Running when it resolves; killed and removed when the test ends. */
  static async start(t: Pick<Test, 'teardown'>, options: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
    const ports = { amqp: await freePort(), tls: await freePort(), dist: await freePort(), epmd: await freePort() };
    const server = new RabbitmqServer(ports, mkdtempSync(join(tmpdir(), 'umbel-rabbitmq-')), options);
    t.teardown(async () => {
      await server.kill();
      await ended(server.#epmd, 'SIGKILL');
      rmSync(server.folder, { recursive: true, force: true, maxRetries: 5 });
    });
    await server.#startEpmd();
    await server.start();
    return server;
  }

  /** `vhost` as it stands in a URL, percent-encoded. */
  url(vhost = ''): string {
    return `amqp://guest:guest@${this.host}:${this.port}/${vhost}`;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Again, on the same ports and with the same data. */
  async start(): Promise<void> {
    // A process group of its own: the script, the virtual machine and its helpers end together.
    const process = spawn(`${programs}/rabbitmq-server`, [], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    endsGroupWithUs(process);
    this.#process = process;
    this.#output = [];
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`RabbitMQ is not ready: ${this.#output.join('\n')}`)), readyWithinMs);
      process.once('error', reject);
      process.once('exit', () => {
        clearTimeout(timer);
        if (this.#process === process) this.#process = null;
        reject(new Error(`RabbitMQ ended: ${this.#output.join('\n')}`));
      });
      for (const stream of [process.stdout, process.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          this.#output.push(line);
          if (!/Starting broker\.\.\. completed|completed with \d+ plugins/.test(line)) return;
          clearTimeout(timer);
          resolve();
        });
      }
    });
    await greeted(this.host, this.port);
  }

  /** As an operator stops it: what is durable is kept. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** The whole process group at once, as a power cut would. */
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

  /** One rabbitmqctl command; throws what it says when it fails. Takes about a second. */
  async ctl(...args: readonly string[]): Promise<string> {
    const { stdout } = await run(`${programs}/rabbitmqctl`, ['-q', ...args], { env: this.#env, encoding: 'utf8' });
    return stdout.trimEnd();
  }

  async addVhost(name: string): Promise<void> {
    await this.ctl('add_vhost', name);
    await this.ctl('set_permissions', '-p', name, 'guest', '.*', '.*', '.*');
  }

  /** Of the virtual machine. */
  get pid(): number {
    return Number(readFileSync(join(this.folder, 'rabbit.pid'), 'utf8'));
  }

  async #startEpmd(): Promise<void> {
    const epmd = spawn('epmd', ['-port', String(this.#ports.epmd), '-address', this.host], { stdio: 'ignore' });
    endsWithUs(epmd);
    this.#epmd = epmd;
    await new Promise<void>((resolve, reject) => {
      epmd.once('error', reject);
      epmd.once('spawn', resolve);
    });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    this.#process = null;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (signal === 'SIGKILL') {
      process.kill(-child.pid, 'SIGKILL');
    } else {
      const { pid } = this;
      // One that stands still must go on to end.
      process.kill(pid, 'SIGCONT');
      process.kill(pid, signal);
    }
    await gone;
  }
}

/** The files the server reads, and the environment it and rabbitmqctl run in. */
function prepare(ports: Ports, folder: string, options: RabbitmqServerOptions): NodeJS.ProcessEnv {
  const file = (name: string, text: string, mode?: number): string => {
    const path = join(folder, name);
    writeFileSync(path, text, mode === undefined ? {} : { mode });
    return path;
  };
  file('.erlang.cookie', randomBytes(15).toString('hex'), 0o400);
  for (const name of ['mnesia', 'log']) mkdirSync(join(folder, name));
  const { tls } = options;
  const config: Record<string, string> = {
    'listeners.tcp.1': `127.0.0.1:${ports.amqp}`,
    'loopback_users.guest': 'true',
    'disk_free_limit.absolute': '1MB',
    'log.console': 'false',
    ...(tls === undefined
      ? {}
      : {
          'listeners.ssl.1': `127.0.0.1:${ports.tls}`,
          'ssl_options.cacertfile': tls.caFile,
          'ssl_options.certfile': tls.certFile,
          'ssl_options.keyfile': tls.keyFile,
          'ssl_options.verify': tls.verifyPeer === true ? 'verify_peer' : 'verify_none',
          'ssl_options.fail_if_no_peer_cert': String(tls.verifyPeer === true),
        }),
    ...options.config,
  };
  const lines = Object.entries(config).map(([key, value]) => `${key} = ${value}\n`);
  return {
    PATH: process.env.PATH,
    HOME: folder,
    LANG: 'C.UTF-8',
    RABBITMQ_NODENAME: `umbel-${ports.amqp}@localhost`,
    RABBITMQ_NODE_PORT: String(ports.amqp),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(ports.dist),
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'rabbit.pid'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', lines.join('')),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', `[${(options.plugins ?? []).join(',')}].\n`),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none',
    RABBITMQ_CTL_ERL_ARGS: '+S 1:1',
  };
}

async function ended(child: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

function endsGroupWithUs(child: ChildProcess): void {
  const kill = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}

/** The server answers a protocol header with its first frame. */
function greeted(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(Buffer.from([65, 77, 81, 80, 0, 0, 9, 1])));
    socket.once('error', reject);
    socket.once('data', () => {
      socket.destroy();
      resolve();
    });
  });
}
