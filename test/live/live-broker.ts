/**
 * A broker of a live test's own, of each kind: a file in the test's folder, a Redis server, a virtual host of RabbitMQ.
 *
 * What is opened here ends with the test that opens it. A test that stops, pauses or sets up its server starts one itself.
 */
import type { Test } from 'tap';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import type { LiveFolder } from './live-folder.ts';

export type BrokerKind = 'sqlite' | 'redis' | 'rabbitmq';

export const brokerKinds: readonly BrokerKind[] = ['sqlite', 'redis', 'rabbitmq'];

/** Those over which Python has remote control and events. */
export const serverKinds = ['redis', 'rabbitmq'] as const;

export interface LiveBroker {
  /** For umbel: workers, commands, clients. */
  readonly url: string;
  /** For Python's Celery. */
  readonly pythonUrl: string;
  readonly server: { readonly port: number; urlAt(port: number): string } | null;
}

export async function openBroker(t: Test, kind: BrokerKind, folder: LiveFolder): Promise<LiveBroker> {
  if (kind === 'sqlite') {
    const url = folder.sqliteUrl('broker.db');
    return { url, pythonUrl: `sqla+${url}`, server: null };
  }
  const { port, urlAt } = kind === 'redis' ? await openRedis(t) : await openRabbitmq(t);
  const url = urlAt(port);
  return { url, pythonUrl: url, server: { port, urlAt } };
}

/** And results that can count the parts of a chord: where the messages are, with RabbitMQ in Redis. */
export async function openBrokerAndResults(
  t: Test,
  kind: BrokerKind,
  folder: LiveFolder,
): Promise<LiveBroker & { readonly backend: string }> {
  const [place, redis] = await Promise.all([openBroker(t, kind, folder), kind === 'rabbitmq' ? RedisServer.start(t) : null]);
  return { ...place, backend: redis?.url() ?? place.url };
}

/** Another way to the same server, which can be cut and frozen. */
export async function openProxy(t: Test, { server }: LiveBroker): Promise<{ readonly proxy: TcpProxy; readonly url: string } | null> {
  if (server === null) return null;
  const proxy = await TcpProxy.start(t, server.port);
  return { proxy, url: server.urlAt(proxy.port) };
}

async function openRedis(t: Test): Promise<NonNullable<LiveBroker['server']>> {
  const { port, host } = await RedisServer.start(t);
  return { port, urlAt: (port) => `redis://${host}:${port}/0` };
}

async function openRabbitmq(t: Test): Promise<NonNullable<LiveBroker['server']>> {
  const vhost = await RabbitmqVhost.open(t);
  return { port: vhost.port, urlAt: (port) => vhost.url({ port }) };
}
