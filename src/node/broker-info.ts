/** The broker as `inspect stats` shows it: what its URL says, without the password, and without a user where none is sent. Source: protocol notes, control.md §3. */
import type { Settings } from '../config/settings-table.ts';
import { type AmqpLoginMethod, amqpPlaceFromUrl, isAmqpUrl } from '../driver/amqp-url.ts';

const defaultPort: Readonly<Record<string, number>> = { amqp: 5672, amqps: 5671, pyamqp: 5672, redis: 6379, rediss: 6379 };

export function brokerInfo(settings: Settings): Readonly<Record<string, unknown>> {
  const url = settings.broker_url ?? 'sqlite://';
  const urls = url.split(';');
  const [first = ''] = urls;
  const { scheme, host, port, userid, path } = partsOf(first);
  const loginMethod = isAmqpUrl(first) ? loginMethodOf(url, settings) : null;
  return {
    hostname: host,
    userid: loginMethod === 'EXTERNAL' ? null : userid,
    virtual_host: path === '' && scheme.startsWith('redis') ? '0' : path,
    port: port ?? defaultPort[scheme] ?? null,
    insist: false,
    ssl: scheme === 'amqps' || scheme === 'rediss',
    transport: scheme,
    connect_timeout: settings.broker_connection_timeout,
    transport_options: { ...settings.broker_transport_options },
    login_method: loginMethod,
    uri_prefix: null,
    heartbeat: settings.broker_heartbeat,
    failover_strategy: settings.broker_failover_strategy,
    alternates: urls.slice(1).map((url) => partsOf(url).host),
  };
}

/** That of a URL is stronger, as for the connection. */
function loginMethodOf(url: string, settings: Settings): AmqpLoginMethod {
  const place = amqpPlaceFromUrl(url);
  return ('problem' in place ? undefined : place.options.loginMethod) ?? settings.broker_login_method;
}

interface UrlParts {
  readonly scheme: string;
  readonly host: string | null;
  readonly port: number | null;
  readonly userid: string | null;
  readonly path: string;
}

/** By hand: these URLs have what `URL` refuses (sentinel lists, sqlite:////path). */
function partsOf(url: string): UrlParts {
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(url) ?? [];
  const [beforeQuery = ''] = rest.split('?');
  const slash = beforeQuery.indexOf('/');
  const authority = slash === -1 ? beforeQuery : beforeQuery.slice(0, slash);
  const path = slash === -1 ? '' : beforeQuery.slice(slash + 1);
  const at = authority.lastIndexOf('@');
  const user = at === -1 ? '' : (authority.slice(0, at).split(':')[0] ?? '');
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(authority.slice(at + 1)) ?? [];
  return {
    scheme: scheme.toLowerCase(),
    host: host === '' ? null : host,
    port: port === undefined ? null : Number(port),
    userid: user === '' ? null : decoded(user),
    path: decoded(path),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
