/** Certificates and keys for TLS, wherever they are named: in settings or in a URL. They are read as for a connection, and none is made. */
import type { SettingName, Settings } from '../config/settings-table.ts';
import { amqpPlaceFromUrl, isAmqpUrl } from '../driver/amqp-url.ts';
import { isRedisUrl, redisPlaceFromUrl } from '../driver/redis-url.ts';
import { TlsProblem, type TlsSettings, tlsOptions } from '../driver/tls-options.ts';
import { amqpBrokerParams } from '../node/amqp-params.ts';
import { redisBrokerParams, redisResultParams } from '../node/redis-params.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

export function* certificates(subject: Subject): Iterable<Finding> {
  for (const { name, tls } of tlsOf(subject.config.settings))
    try {
      tlsOptions(tls, null);
    } catch (error) {
      if (!(error instanceof TlsProblem)) throw error;
      yield found('CERTIFICATE_UNUSABLE', error.message, placeOf(subject, name));
    }
}

type Place = { readonly endpoints: readonly { readonly tls: TlsSettings | null }[] } | { readonly problem: string };

function tlsOf(settings: Settings): readonly { readonly name: SettingName; readonly tls: TlsSettings }[] {
  const { broker_url: brokerUrl, result_backend: resultUrl, broker_use_ssl: useSsl, redis_backend_use_ssl: resultSsl } = settings;
  // What a URL says wrongly is found as a refusal; here it has no endpoints.
  const of = (name: SettingName, place: Place) =>
    'endpoints' in place ? place.endpoints.flatMap(({ tls }) => (tls === null ? [] : [{ name, tls }])) : [];
  const brokerName = useSsl === false ? 'broker_url' : 'broker_use_ssl';
  const resultName = resultSsl === null ? 'result_backend' : 'redis_backend_use_ssl';
  return [
    ...(brokerUrl !== null && isRedisUrl(brokerUrl)
      ? of(brokerName, redisPlaceFromUrl(brokerUrl, redisBrokerParams(settings, false).tls))
      : []),
    ...(brokerUrl !== null && isAmqpUrl(brokerUrl)
      ? of(brokerName, amqpPlaceFromUrl(brokerUrl, amqpBrokerParams(settings, false, '').tls))
      : []),
    ...(resultUrl !== null && isRedisUrl(resultUrl) ? of(resultName, redisPlaceFromUrl(resultUrl, redisResultParams(settings).tls)) : []),
  ];
}
