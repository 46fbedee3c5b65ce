import t from 'tap';
import {
  describeEndpoint,
  isRedisUrl,
  placeKey,
  type RedisEndpoint,
  type RedisPlace,
  redisPlaceFromUrl,
} from '../../src/driver/redis-url.ts';
import { loadVectors } from '../protocol/vectors.ts';

function place(url: string | string[]): RedisPlace {
  const result = redisPlaceFromUrl(url);
  if ('problem' in result) throw new Error(result.problem);
  return result;
}

function only(url: string): RedisEndpoint {
  const [endpoint] = place(url).endpoints;
  if (endpoint === undefined) throw new Error('no endpoint');
  return endpoint;
}

function problem(url: string): string {
  const result = redisPlaceFromUrl(url);
  return 'problem' in result ? result.problem : 'accepted';
}

interface UrlVector {
  url: string;
  info?: {
    transport: string;
    hostname: string;
    port: number;
    userid: string | null;
    password: string | null;
    virtual_host: string;
    ssl: unknown;
    alternates: string[];
  };
  error?: string;
}

t.test('what kombu reads out of a URL, we read', async (t) => {
  const vectors = loadVectors(t, 'urls.json') as { broker_urls: UrlVector[] } | null;
  if (vectors === null) return;
  let seen = 0;
  for (const { url, info } of vectors.broker_urls) {
    t.equal(isRedisUrl(url), /^(redis|sentinel)/.test(url), url);
    if (!isRedisUrl(url) || info === undefined) continue;
    seen++;
    const endpoint = only(url);
    t.equal(endpoint.username, info.userid, url);
    t.equal(endpoint.password, info.password, url);
    t.equal(endpoint.tls !== null, info.ssl !== false, url);
    switch (endpoint.kind) {
      case 'tcp':
        t.equal(endpoint.host, info.hostname, url);
        t.equal(endpoint.port, info.port, url);
        t.equal(endpoint.db, Number(info.virtual_host.replace('/', '')), url);
        break;
      case 'socket':
        t.equal(endpoint.path, '/var/run/redis.sock', url);
        t.equal(endpoint.db, url.includes('virtual_host=3') ? 3 : 0, url);
        break;
      case 'sentinel': {
        const alternates = info.alternates.length === 0 ? [url] : info.alternates;
        t.strictSame(endpoint.sentinels[0], { host: info.hostname, port: info.port }, url);
        t.equal(endpoint.sentinels.length, alternates.length, 'all of them watch one server');
        t.equal(endpoint.db, 1, 'the database stands in any of them');
        break;
      }
    }
  }
  t.ok(seen >= 9);
});

t.test('users, passwords, addresses', async (t) => {
  t.match(only('redis://u%40x:p%2F%3A@h/2'), { username: 'u@x', password: 'p/:', host: 'h', db: 2 });
  t.match(only('redis://u@h'), { username: 'u', password: null });
  t.match(only('redis://:p@a@h:1/0'), { password: 'p@a', host: 'h', port: 1 }, 'the last @ counts');
  t.match(only('redis://[::1]:7000/1'), { host: '::1', port: 7000, db: 1 });
  t.match(only('REDIS://h'), { host: 'h', port: 6379, db: 0 });
  t.match(only('redis://h?db=4'), { db: 4 });
  t.match(only('socket:///tmp/r.sock?virtual_host=/3'), { kind: 'socket', path: '/tmp/r.sock', db: 3 });
});

t.test('TLS', async (t) => {
  t.strictSame(only('rediss://h').tls, { certReqs: 'required', checkHostname: true });
  t.strictSame(only('rediss://h?ssl_cert_reqs=CERT_NONE').tls, { certReqs: 'none', checkHostname: false });
  t.strictSame(
    only('rediss://h?ssl_cert_reqs=optional&ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k&ssl_password=x&ssl_check_hostname=true').tls,
    {
      certReqs: 'optional',
      checkHostname: true,
      caFile: '/ca',
      certFile: '/c',
      keyFile: '/k',
      keyPassword: 'x',
    },
  );
  const result = redisPlaceFromUrl('redis://h', { caFile: '/ca' });
  t.match(result, { endpoints: [{ tls: { certReqs: 'required', caFile: '/ca' } }] }, 'switched on by broker_use_ssl');
  t.match(redisPlaceFromUrl('rediss://h?ssl_ca_certs=/url', { caFile: '/setting' }), { endpoints: [{ tls: { caFile: '/url' } }] });
});

t.test('options of redis-py', async (t) => {
  t.strictSame(
    place('redis://h?socket_timeout=1.5&socket_connect_timeout=2&socket_keepalive=True&health_check_interval=0&client_name=me').options,
    {
      socketTimeoutMs: 1500,
      socketConnectTimeoutMs: 2000,
      socketKeepalive: true,
      healthCheckIntervalMs: 0,
      clientName: 'me',
    },
  );
});

t.test('several', async (t) => {
  t.strictSame(place('redis://a;rediss://b:1/2').endpoints.map(describeEndpoint), ['redis://a:6379/0', 'rediss://b:1/2']);
  t.equal(place(['redis://a', 'redis://b']).endpoints.length, 2);
  t.equal(place('redis://a,redis://b').endpoints.length, 2);
  const [sentinel] = place('sentinel://s1;sentinel://u:p@s2:1;sentinel://s3/4').endpoints;
  t.match(sentinel, { username: 'u', password: 'p', db: 4 });
  t.match(problem('redis://a;sentinel://b'), /cannot be mixed/);
});

t.test('what is wrong is said without the password', async (t) => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['amqp://me:geheim@h', /must start with redis:\/\//],
    ['redis://:geheim@h/zero', /database .* must be a number, got 'zero'/],
    ['redis://:geheim@h:99999', /port .* from 1 to 65535/],
    ['redis://:geheim@a b:x/0', /host/],
    ['redis://:geheim@h?soket_timeout=1', /got 'soket_timeout'/],
    ['redis://:geheim@h?socket_timeout=soon', /socket_timeout must be a number of seconds, got 'soon'/],
    ['redis://:geheim@h?ssl_cert_reqs=none', /rediss:\/\//],
    ['rediss://:geheim@h?ssl_cert_reqs=maybe', /required, optional or none, got 'maybe'/],
    ['redis://:gehe%ZZim@h', /percent-encoded/],
    ['redis+socket://relative/path', /absolute path/],
    ['', /got ''/],
  ];
  for (const [url, expected] of rows) {
    t.match(problem(url), expected, url);
    t.notMatch(problem(url), /geheim|gehe%/);
  }
});

t.test('for people, and for comparing', async (t) => {
  t.equal(describeEndpoint(only('redis://me:geheim@h')), 'redis://me:**@h:6379/0');
  t.equal(describeEndpoint(only('redis://:geheim@[::1]/1')), 'redis://:**@[::1]:6379/1');
  t.equal(describeEndpoint(only('redis+socket:///s.sock')), 'redis+socket:///s.sock?virtual_host=0');
  t.equal(placeKey(place('redis://:a@h/1')), placeKey(place('redis://:a@h:6379/1')));
  t.not(placeKey(place('redis://h/1')), placeKey(place('redis://h/2')));
  t.not(placeKey(place('redis://one:a@h/1')), placeKey(place('redis://two:a@h/1')), 'another user may have other rights');
  t.not(placeKey(place('sentinel://h'), 'one'), placeKey(place('sentinel://h'), 'two'), 'sentinels watch several servers');
  t.equal(placeKey(place('redis://h'), 'one'), placeKey(place('redis://h')), 'which means nothing to others');
});
