/** Where the RabbitMQ part of the benchmark takes place: a private server, with a queue of Celery's, and a channel that fills it and looks on. */
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { RabbitmqServer } from '../test/rabbitmq-server.ts';
import { TcpProxy } from '../test/tcp-proxy.ts';

export const queue = 'celery';
const durable = { durable: true };

export class AmqpBenchPlace {
  readonly server: RabbitmqServer;
  readonly connection: ChannelModel;
  readonly channel: ConfirmChannel;
  readonly #teardowns: (() => unknown)[];

  private constructor(server: RabbitmqServer, connection: ChannelModel, channel: ConfirmChannel, teardowns: (() => unknown)[]) {
    this.server = server;
    this.connection = connection;
    this.channel = channel;
    this.#teardowns = teardowns;
  }

  static async open(): Promise<AmqpBenchPlace> {
    const teardowns: (() => unknown)[] = [];
    const owner = { teardown: (handler: () => unknown) => void teardowns.push(handler) };
    const server = await RabbitmqServer.start(owner, { schedulersAsShipped: true });
    const connection = await connect(server.url());
    const channel = await connection.createConfirmChannel();
    // As Celery declares it.
    await channel.assertExchange(queue, 'direct', durable);
    await channel.assertQueue(queue, durable);
    await channel.bindQueue(queue, queue, queue);
    return new AmqpBenchPlace(server, connection, channel, teardowns);
  }

  async close(): Promise<void> {
    await this.connection.close();
    for (const teardown of this.#teardowns) await teardown();
  }

  /** The server's URL behind a proxy that makes a round trip so much longer. */
  async farUrl(roundTripMs: number): Promise<string> {
    const proxy = await TcpProxy.start({ teardown: (handler: () => unknown) => void this.#teardowns.unshift(handler) }, this.server.port);
    proxy.delayMs = roundTripMs / 2;
    const url = new URL(this.server.url());
    url.port = String(proxy.port);
    return url.href;
  }

  /** Messages that nobody holds; what a consumer holds the server does not say. */
  async ready(): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount;
  }

  async empty(): Promise<void> {
    await this.channel.purgeQueue(queue);
  }

  /** When the connections of those who held messages have ended: what they have not acknowledged would be here again. */
  async mustBeEmpty(who: string): Promise<void> {
    const left = await this.ready();
    if (left > 0) throw new Error(`every message must have been acknowledged, got ${left} that were not (${who})`);
  }
}
