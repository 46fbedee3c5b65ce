/**
 * Settings of Redis that do not go together: what would change nothing, and what can never work.
 *
 * Owns these rules. Never connects. Kinds of single values are judged where they are declared, in src/config; whether options of the broker belong to
 * its transport, in transport-options.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import { KeyLayout } from '../broker/redis/key-layout.ts';
import type { Config } from '../config/config.ts';
import { ConfigError, type ConfigProblem } from '../config/config-error.ts';
import { dottedName } from '../config/setting.ts';
import type { SettingName, Settings } from '../config/settings-table.ts';
import { isRedisUrl, placeKey, type RedisPlace, redisPlaceFromUrl } from '../driver/redis-url.ts';
import { maskUrl } from '../std/mask-url.ts';
import { redisBrokerParams, redisTls } from './redis-params.ts';
import { queueTableOf } from './routing-params.ts';

const shared = "broker and results are in one database and share the broker's connection";

/** Throws ConfigError with all of them. */
export function refuseUselessRedisSettings(config: Config): void {
  const problems = redisProblems(config);
  if (problems.length > 0) throw new ConfigError(problems);
}

function redisProblems({ settings, origin }: Config): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const add = (name: SettingName, text: string): void => {
    problems.push({ message: `${dottedName(name)}${text}`, place: origin(name).text });
  };
  const { broker_url: brokerUrl, result_backend: resultUrl } = settings;
  const brokerPlace = placeOf('broker_url', brokerUrl, brokerTls(settings), add);
  const resultPlace = placeOf('result_backend', resultUrl, redisTls(settings.redis_backend_use_ssl), add);
  checkSide(
    { place: brokerPlace, url: brokerUrl, name: 'broker_url', options: 'broker_transport_options', tls: 'broker_use_ssl' },
    settings,
    add,
  );
  checkSide(
    {
      place: resultPlace,
      url: resultUrl,
      name: 'result_backend',
      options: 'result_backend_transport_options',
      tls: 'redis_backend_use_ssl',
    },
    settings,
    add,
  );
  if (brokerPlace !== null && resultPlace !== null && sameDatabase(brokerPlace, resultPlace, settings)) {
    // What the URL of the broker says besides is the broker's own business.
    if (!isDeepStrictEqual({ ...brokerPlace.options, ...resultPlace.options }, brokerPlace.options))
      add('result_backend', ` must say how to connect as broker.url does, or nothing: ${shared}, got ${maskUrl(resultUrl ?? '')}`);
    for (const { name, own, brokers, where } of connectionSettings(settings)) {
      if (origin(name).kind !== 'default' && !isDeepStrictEqual(own, brokers))
        add(name, ` must be left out, or say what ${where} says: ${shared}`);
    }
  }
  return problems;
}

type Add = (name: SettingName, text: string) => void;

interface Side {
  /** null: no Redis. */
  readonly place: RedisPlace | null;
  readonly url: string | null;
  readonly name: 'broker_url' | 'result_backend';
  readonly options: 'broker_transport_options' | 'result_backend_transport_options';
  readonly tls: 'broker_use_ssl' | 'redis_backend_use_ssl';
}

function checkSide({ place, url, name, options, tls }: Side, settings: Settings, add: Add): void {
  const given = settings[options];
  const got = `got it with ${url === null ? `no ${dottedName(name)}` : maskUrl(url)}`;
  if (url === null || !isRedisUrl(url)) {
    const key = name === 'result_backend' ? Object.keys(given)[0] : undefined;
    if (key !== undefined) add(options, ` (${key}) must be left out unless results are kept in Redis, ${got}`);
    return;
  }
  if (place === null) return;
  if (name === 'broker_url') {
    const { broker: layout = {} } = redisBrokerParams(settings, false);
    const queues = [...queueTableOf(settings).known].map((queue) => queue.name);
    const collision = new KeyLayout(layout, 0).collision(queues);
    if (collision !== null) add(options, ` (${collision.option}) ${collision.problem}`);
  }
  const sentinel = place.endpoints.some((endpoint) => endpoint.kind === 'sentinel');
  if (sentinel && given.master_name === undefined)
    add(options, ` must have the key master_name with a sentinel:// URL, got none with ${maskUrl(url)}`);
  const needless = sentinel ? undefined : (['master_name', 'sentinel_kwargs'] as const).find((key) => given[key] !== undefined);
  if (needless !== undefined) add(options, ` (${needless}) must be left out unless ${dottedName(name)} is a sentinel:// URL, ${got}`);
  const wantsTls = settings[tls] !== false && settings[tls] !== null;
  if (wantsTls && place.endpoints.every((endpoint) => endpoint.kind === 'socket'))
    add(tls, ` must be left out with a socket, which has no TLS, ${got}`);
}

function placeOf(name: 'broker_url' | 'result_backend', url: string | null, tls: ReturnType<typeof redisTls>, add: Add): RedisPlace | null {
  if (url === null || !isRedisUrl(url)) return null;
  const place = redisPlaceFromUrl(url, tls);
  if (!('problem' in place)) return place;
  add(name, `: ${place.problem}`);
  return null;
}

function brokerTls({ broker_use_ssl: useSsl }: Settings): ReturnType<typeof redisTls> {
  return typeof useSsl === 'boolean' ? (useSsl ? {} : null) : redisTls(useSsl);
}

/** As src/client/connections.ts decides it. */
function sameDatabase(broker: RedisPlace, results: RedisPlace, settings: Settings): boolean {
  const endpoints = results.endpoints.map((endpoint) => ({ ...endpoint, username: endpoint.username ?? settings.redis_username }));
  const masters = [settings.broker_transport_options.master_name ?? null, settings.result_backend_transport_options.master_name ?? null];
  return placeKey(broker, masters[0]) === placeKey({ ...results, endpoints }, masters[1]);
}

/** How to connect, which only the first who asks for a database can say. */
function connectionSettings(settings: Settings) {
  const options = settings.broker_transport_options;
  const within = (key: string): string => `broker.transport_options.${key}`;
  const entry = (name: SettingName, brokers: unknown, where: string) => ({ name, own: settings[name], brokers, where });
  return [
    entry('redis_socket_timeout', options.socket_timeout, within('socket_timeout')),
    entry(
      'redis_socket_connect_timeout',
      options.socket_connect_timeout ?? settings.broker_connection_timeout,
      within('socket_connect_timeout'),
    ),
    entry('redis_socket_keepalive', options.socket_keepalive, within('socket_keepalive')),
    entry('redis_backend_health_check_interval', options.health_check_interval, within('health_check_interval')),
    entry('redis_client_name', options.client_name, within('client_name')),
    entry('redis_backend_use_ssl', settings.broker_use_ssl, 'broker.use_ssl'),
  ];
}
