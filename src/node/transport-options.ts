/** Options of a transport belong to that transport: given with another one they would be ignored, so they are refused. */
import { amqpBrokerSettings, amqpTransportFields } from '../config/amqp-settings.ts';
import type { Config } from '../config/config.ts';
import { redisTransportFields } from '../config/redis-broker-settings.ts';
import { dottedName } from '../config/setting.ts';
import type { SettingName } from '../config/settings-table.ts';
import { isAmqpUrl } from '../driver/amqp-url.ts';
import { isRedisUrl } from '../driver/redis-url.ts';
import { UmbelError } from '../errors.ts';
import { maskUrl } from '../std/mask-url.ts';
import { refuseUselessRedisSettings } from './redis-refusals.ts';

/** Throws CONFIG_INVALID, with the place; so it does for settings of Redis that do not go together. Gives the configuration back. */
export function checkTransportOptions(config: Config): Config {
  checkOptionsOfBroker(config);
  refuseUselessRedisSettings(config);
  return config;
}

function checkOptionsOfBroker(config: Config): void {
  const { broker_url: url, broker_transport_options: options, broker_use_ssl: useSsl } = config.settings;
  const isRedis = url !== null && isRedisUrl(url);
  const isAmqp = url !== null && isAmqpUrl(url);
  const refuse = (name: SettingName, key: string | null, wanted: string): never => {
    const what = `${dottedName(name)}${key === null ? '' : ` (${key})`}`;
    const where = url === null ? 'the embedded broker' : maskUrl(url);
    throw new UmbelError(
      'CONFIG_INVALID',
      `${what} must be left out unless the broker is ${wanted}, got it with ${where} (${config.origin(name).text})`,
    );
  };
  for (const key of Object.keys(options)) {
    const forRedis = Object.hasOwn(redisTransportFields, key);
    const forAmqp = Object.hasOwn(amqpTransportFields, key) || key === 'socket_keepalive';
    if ((isRedis && forRedis) || (isAmqp && forAmqp)) continue;
    refuse('broker_transport_options', key, forRedis && forAmqp ? 'a Redis server or RabbitMQ' : forRedis ? 'a Redis server' : 'RabbitMQ');
  }
  if (useSsl !== false && !isRedis && !isAmqp) refuse('broker_use_ssl', null, 'a Redis server or RabbitMQ');
  if (isAmqp) return;
  for (const key of ['server_hostname', 'ciphers'] as const)
    if (typeof useSsl === 'object' && useSsl[key] !== undefined) refuse('broker_use_ssl', key, 'RabbitMQ');
  for (const name of Object.keys(amqpBrokerSettings) as (keyof typeof amqpBrokerSettings)[])
    if (config.origin(name).kind !== 'default') refuse(name, null, 'RabbitMQ');
}
