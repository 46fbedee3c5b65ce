/**
 * One live connection to one RabbitMQ server, from handshake to close. Never reconnects: whoever opened it opens another.
 *
 * Owns: amqplib's connection (this folder alone imports that package), the handshake, and its end. What leaves here is a channel, or an AmqpFailure.
 */
import { type Connection, connect } from 'amqplib/callback_api';
import { version } from '../std/version.ts';
import { AmqpFailure, toAmqpFailure, toConnectFailure } from './amqp-failure.ts';
import { readAtOnce, takeOverFrames } from './amqp-frames.ts';
import type { DeliverySink, RawChannel, RawConnection, RawSocket } from './amqp-raw.ts';
import { taggedTable } from './amqp-table.ts';
import { type AmqpEndpoint, type AmqpLoginMethod, describeEndpoint } from './amqp-url.ts';
import { takeOverWrites } from './amqp-writes.ts';
import { TlsProblem, tlsOptions } from './tls-options.ts';

export interface AmqpSessionParams {
  readonly endpoint: AmqpEndpoint;
  /** Whole handshake. */
  readonly connectTimeoutMs: number;
  /** Asked for; the server may want less. 0: none. null: what the server wants. */
  readonly heartbeatSeconds: number | null;
  readonly loginMethod: AmqpLoginMethod;
  /** Shown by the management UI and rabbitmqctl. */
  readonly connectionName: string | null;
  readonly clientProperties: Readonly<Record<string, unknown>>;
  readonly channelMax: number;
  readonly frameMax: number;
  readonly socketKeepalive: boolean;
}

export interface AmqpServer {
  readonly product: string;
  readonly version: string;
  readonly majorVersion: number;
  readonly minorVersion: number;
  readonly clusterName: string | null;
}

export interface AmqpTraffic {
  /** Since the connection began. */
  readonly bytesRead: number;
  /** The system has taken them to send. */
  readonly bytesSent: number;
  /** The system has not taken them yet: what it took before has not arrived. */
  readonly bytesUnsent: number;
}

/** An orderly goodbye may take this long. */
const closeGraceMs = 2000;
const writeBufferBytes = 256 * 1024;

export class AmqpSession {
  readonly endpoint: AmqpEndpoint;
  /** The server for people. */
  readonly where: string;
  readonly server: AmqpServer;
  /** Negotiated; 0: none. */
  readonly heartbeatSeconds: number;
  /** Who takes the deliveries of a channel, by its number. */
  readonly deliveries: Map<number, DeliverySink>;
  readonly #model: Connection;
  readonly #raw: RawConnection;
  #closed = false;
  #cause: AmqpFailure | null = null;
  #onClose: ((cause: AmqpFailure) => void) | null = null;
  #onBlocked: ((reason: string | null) => void) | null = null;
  #blocked: string | null = null;

  private constructor(model: Connection, raw: RawConnection, endpoint: AmqpEndpoint, where: string) {
    this.deliveries = takeOverFrames(raw);
    takeOverWrites(raw);
    readAtOnce(raw);
    this.#model = model;
    this.#raw = raw;
    this.endpoint = endpoint;
    this.where = where;
    this.server = serverOf(raw.serverProperties);
    this.heartbeatSeconds = raw.heartbeat;
    model.on('error', (error: unknown) => {
      this.#cause ??= toAmqpFailure(error, this.where);
    });
    model.on('close', (error: unknown) => this.#ended(error));
    model.on('blocked', (reason: unknown) => {
      this.#blocked = String(reason);
      this.#onBlocked?.(this.#blocked);
    });
    model.on('unblocked', () => {
      this.#blocked = null;
      this.#onBlocked?.(null);
    });
  }

  /** Rejects with an AmqpFailure. */
  static open(params: AmqpSessionParams): Promise<AmqpSession> {
    const { endpoint, loginMethod } = params;
    const where = describeEndpoint(endpoint, loginMethod);
    return new Promise((resolve, reject) => {
      const abort = new AbortController();
      const deadline = setTimeout(() => {
        settle(
          new AmqpFailure('lost', `the connection to RabbitMQ failed: no answer within ${params.connectTimeoutMs} ms (${where})`),
          null,
        );
        abort.abort();
      }, params.connectTimeoutMs);
      let settled = false;
      // amqplib may call back more than once.
      const settle = (error: unknown, model: Connection | null): void => {
        if (settled) {
          if (model !== null) rawOf(model).stream.destroy();
          return;
        }
        settled = true;
        clearTimeout(deadline);
        if (model === null) {
          reject(toConnectFailure(error, where, loginMethod));
          return;
        }
        const raw = rawOf(model);
        resolve(new AmqpSession(model, raw, endpoint, where));
      };
      try {
        connect(address(params), socketOptions(params, abort.signal), (error: unknown, model: Connection | undefined) => {
          settle(error, error === null || error === undefined ? (model ?? null) : null);
        });
      } catch (error) {
        settle(error instanceof TlsProblem ? new AmqpFailure('config', `${error.message} (${where})`, { cause: error }) : error, null);
      }
    });
  }

  /** The reason the server gave for not reading what we publish; null: it reads. */
  get blocked(): string | null {
    return this.#blocked;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Why it ended or is about to. */
  get cause(): AmqpFailure | null {
    return this.#cause;
  }

  get traffic(): AmqpTraffic {
    return trafficOf(this.#raw.stream);
  }

  /** Called once, when the connection is no more, unless `close` ended it. */
  onClose(listener: (cause: AmqpFailure) => void): void {
    this.#onClose = listener;
    if (this.#closed && this.#cause !== null) listener(this.#cause);
  }

  onBlocked(listener: (reason: string | null) => void): void {
    this.#onBlocked = listener;
  }

  /** An open channel of amqplib. Rejects with an AmqpFailure. */
  openChannel(confirm: boolean): Promise<RawChannel> {
    return new Promise((resolve, reject) => {
      const opened = (error: unknown, channel: unknown): void => {
        if (error === null || error === undefined) resolve(channel as RawChannel);
        else reject(toAmqpFailure(error, this.where));
      };
      try {
        // Errors before anybody listens would be thrown by the emitter; the callback tells of them.
        const channel = confirm ? this.#model.createConfirmChannel(opened) : this.#model.createChannel(opened);
        channel.on('error', () => {});
      } catch (error) {
        reject(this.failureOf(error));
      }
    });
  }

  /** Anything amqplib throws on this connection, as ours. */
  failureOf(thrown: unknown): AmqpFailure {
    if (this.#cause !== null) return this.#cause;
    if (this.#closed) return new AmqpFailure('lost', `the connection to RabbitMQ was closed (${this.where})`, { cause: thrown });
    return toAmqpFailure(thrown, this.where);
  }

  /** With a farewell, as long as the server answers. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#onClose = null;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(deadline);
        this.drop();
        resolve();
      };
      const deadline = setTimeout(done, closeGraceMs);
      try {
        this.#model.close(done);
      } catch {
        done();
      }
    });
  }

  /** At once, without a word. */
  drop(): void {
    this.#onClose = null;
    this.#closed = true;
    // amqplib's heartbeat goes on after a socket that ended without an error.
    this.#raw.stream.destroy(new Error('dropped'));
  }

  /** As if the network had failed: `onClose` is called. */
  fail(cause: AmqpFailure): void {
    this.#cause ??= cause;
    this.#raw.stream.destroy(cause);
  }

  #ended(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    // amqplib only ends its half; a server that answers nothing would keep the socket for ever.
    this.#raw.stream.destroy();
    const thrown = error ?? new AmqpFailure('lost', `the connection to RabbitMQ was closed (${this.where})`);
    this.#cause ??= toAmqpFailure(thrown, this.where);
    this.#onClose?.(this.#cause);
  }
}

export function trafficOf(socket: RawSocket): AmqpTraffic {
  const { bytesRead = 0, _handle: handle } = socket;
  const { bytesWritten = 0, writeQueueSize = 0 } = handle?._parent ?? handle ?? {};
  return { bytesRead, bytesSent: bytesWritten - writeQueueSize, bytesUnsent: writeQueueSize };
}

function rawOf(model: Connection): RawConnection {
  return model.connection as unknown as RawConnection;
}

function serverOf(properties: Readonly<Record<string, unknown>>): AmqpServer {
  const text = typeof properties.version === 'string' ? properties.version : '';
  const [major, minor] = text.split('.').map(Number);
  return {
    product: typeof properties.product === 'string' ? properties.product : 'unknown',
    version: text,
    majorVersion: Number.isInteger(major) ? (major ?? 0) : 0,
    minorVersion: Number.isInteger(minor) ? (minor ?? 0) : 0,
    clusterName: typeof properties.cluster_name === 'string' ? properties.cluster_name : null,
  };
}

function address({ endpoint, heartbeatSeconds, channelMax, frameMax }: AmqpSessionParams): object {
  return {
    protocol: endpoint.tls === null ? 'amqp' : 'amqps',
    // As kombu: a name server may give localhost an address the broker does not listen on.
    hostname: endpoint.host === 'localhost' && endpoint.tls === null ? '127.0.0.1' : endpoint.host,
    port: endpoint.port,
    username: endpoint.username,
    password: endpoint.password,
    // amqplib decodes it again.
    vhost: encodeURIComponent(endpoint.vhost),
    ...(heartbeatSeconds === null ? {} : { heartbeat: Math.ceil(heartbeatSeconds) }),
    channelMax,
    frameMax,
  };
}

function socketOptions(params: AmqpSessionParams, signal: AbortSignal): object {
  const { endpoint, connectionName } = params;
  return {
    noDelay: true,
    keepAlive: params.socketKeepalive,
    highWaterMark: writeBufferBytes,
    signal,
    credentials: credentials(params),
    clientProperties: taggedTable({
      product: 'umbel',
      version: version(),
      information: 'a worker daemon that speaks Celery',
      ...(connectionName === null ? {} : { connection_name: connectionName }),
      ...params.clientProperties,
    }),
    ...(endpoint.tls === null ? {} : tlsOptions(endpoint.tls, endpoint.host)),
  };
}

interface Credentials {
  readonly mechanism: AmqpLoginMethod;
  response(): Buffer;
}

function credentials({ endpoint: { username, password }, loginMethod }: AmqpSessionParams): Credentials {
  switch (loginMethod) {
    case 'PLAIN':
      return { mechanism: loginMethod, response: () => Buffer.from(`\0${username}\0${password}`) };
    case 'AMQPLAIN':
      return { mechanism: loginMethod, response: () => Buffer.concat([loginField('LOGIN', username), loginField('PASSWORD', password)]) };
    case 'EXTERNAL':
      return { mechanism: loginMethod, response: () => Buffer.alloc(0) };
  }
}

/** One field of a table: its name, the tag of a long string, the string. */
function loginField(name: string, value: string): Buffer {
  const text = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from('S'), length, text]);
}
