/**
 * A RabbitMQ server: loopback only, free ports, an epmd and a cookie of its own, data in a temporary folder.
 *
 * Owns the processes and the folder; all end with whoever started them. A start takes seconds. A test that only needs queues takes a virtual host
 * (rabbitmq-vhost.ts); a server of its own is for a test that stops, stands still or sets up the server.
 * RABBITMQ_SERVER names another `rabbitmq-server` than Debian's: another version, which must become the Erlang machine with its pid, as Debian's does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { controlReady, controlScript, RabbitmqControl } from './rabbitmq-control.ts';
import { endsWithUs, freePort, type Owner, TestServer, temporaryFolder } from './test-server.ts';

export interface RabbitmqServerOptions {
  /** Lines of rabbitmq.conf: { consumer_timeout: '5000' }. */
  readonly config?: Readonly<Record<string, string>>;
  /** Enabled plugins, e.g. rabbitmq_auth_mechanism_ssl. */
  readonly plugins?: readonly string[];
  /** Also listen with TLS; the files must exist. Adds the port as `tlsPort`. */
  readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string; readonly verifyPeer?: boolean };
  /** A scheduler bound to each processor, as RabbitMQ starts by itself, for a benchmark. Without it there is one, bound to none, for tests beside each other. */
  readonly schedulersAsShipped?: boolean;
}

interface Ports {
  readonly amqp: number;
  readonly tls: number;
  readonly dist: number;
  readonly epmd: number;
}

const program = process.env.RABBITMQ_SERVER || '/usr/lib/rabbitmq/bin/rabbitmq-server';
/** Several servers on one machine must not all be bound to its first processor. */
const oneScheduler = {
  RABBITMQ_SCHEDULER_BIND_TYPE: 'u',
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none',
};
const protocolHeader = Buffer.from([65, 77, 81, 80, 0, 0, 9, 1]);

export class RabbitmqServer extends TestServer {
  readonly tlsPort: number;
  readonly control: RabbitmqControl;
  readonly controlPath: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(ports: Ports, folder: string, options: RabbitmqServerOptions) {
    super({
      name: 'RabbitMQ server',
      port: ports.amqp,
      folder,
      readyWithinMs: 60_000,
      readyLine: new RegExp(controlReady),
      greeting: protocolHeader,
    });
    this.tlsPort = ports.tls;
    this.controlPath = join(folder, 'control.sock');
    this.control = new RabbitmqControl(this.controlPath);
    this.#env = prepare(ports, folder, this.controlPath, options);
  }

  /** Running when it resolves; killed and removed when the owner ends. */
  static async start(owner: Owner, options: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
    const ports = { amqp: await freePort(), tls: await freePort(), dist: await freePort(), epmd: await freePort() };
    const server = new RabbitmqServer(ports, temporaryFolder('rabbitmq'), options);
    await startEpmd(owner, ports.epmd);
    await server.startFor(owner);
    return server;
  }

  /** `vhost` as it stands in a URL, percent-encoded. */
  url(vhost = ''): string {
    return `amqp://guest:guest@${this.host}:${this.port}/${vhost}`;
  }

  protected override spawn(): ChildProcess {
    return spawn(program, [], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  }
}

async function startEpmd(owner: Owner, port: number): Promise<void> {
  const epmd = spawn('epmd', ['-port', String(port), '-address', '127.0.0.1'], { stdio: 'ignore' });
  endsWithUs(epmd);
  await new Promise<void>((resolve, reject) => {
    epmd.once('error', reject);
    epmd.once('spawn', resolve);
  });
  owner.teardown(() => epmd.kill('SIGKILL'));
}

/** The files the server reads, and the environment it runs in. */
function prepare(ports: Ports, folder: string, controlPath: string, options: RabbitmqServerOptions): NodeJS.ProcessEnv {
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
  const control = file('control.script', controlScript(controlPath));
  return {
    PATH: process.env.PATH,
    HOME: folder,
    LANG: 'C.UTF-8',
    // The script then replaces itself by the Erlang machine: no shell stands between us and its pid, its signals and its end.
    RABBITMQ_ALLOW_INPUT: 'true',
    RABBITMQ_SERVER_START_ARGS: `-noinput +Bi -eval file:script("${control}")`,
    ...(options.schedulersAsShipped === true ? {} : oneScheduler),
    RABBITMQ_NODENAME: `umbel-${ports.amqp}@localhost`,
    RABBITMQ_NODE_PORT: String(ports.amqp),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(ports.dist),
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', lines.join('')),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', `[${(options.plugins ?? []).join(',')}].\n`),
  };
}
