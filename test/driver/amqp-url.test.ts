import t from 'tap';
import { type AmqpLoginMethod, amqpPlaceFromUrl, describeEndpoint, isAmqpUrl } from '../../src/driver/amqp-url.ts';
import { loadVectors } from '../protocol/vectors.ts';

interface UrlVector {
  readonly url: string;
  readonly info: {
    readonly hostname: string;
    readonly port: number;
    readonly userid: string;
    readonly password: string;
    readonly virtual_host: string;
    readonly ssl: boolean;
    readonly heartbeat: number;
    readonly alternates: readonly string[];
  };
  readonly as_uri: string;
}

t.test("kombu's reading of URLs", async (t) => {
  const loaded = loadVectors(t, 'urls.json') as { broker_urls: UrlVector[] } | null;
  if (loaded === null) return;
  const vectors = loaded.broker_urls.filter(({ url }) => isAmqpUrl(url));
  t.ok(vectors.length >= 10);
  for (const { url, info, as_uri: shown } of vectors) {
    const place = amqpPlaceFromUrl(url);
    if ('problem' in place) {
      t.fail(`${url}: ${place.problem}`);
      continue;
    }
    const [endpoint] = place.endpoints;
    t.match(
      endpoint,
      { host: info.hostname, port: info.port, username: info.userid, password: info.password, vhost: info.virtual_host },
      url,
    );
    t.equal(endpoint!.tls !== null, info.ssl, url);
    t.equal(place.options.heartbeatSeconds ?? 0, info.heartbeat, url);
    t.equal(place.endpoints.length, Math.max(1, info.alternates.length), url);
    // kombu writes [::1] percent-encoded, which it could not read again.
    if (!info.hostname.includes(':')) t.equal(describeEndpoint(endpoint!, 'PLAIN'), shown);
  }
});

t.test('what is shown of a login by certificate: no user, since none is sent', async (t) => {
  const shown = (url: string, loginMethod: AmqpLoginMethod): readonly string[] => {
    const place = amqpPlaceFromUrl(url);
    return 'problem' in place ? [place.problem] : place.endpoints.map((endpoint) => describeEndpoint(endpoint, loginMethod));
  };
  t.strictSame(shown('amqps://h//v;amqps://me:secret@[::1]:1', 'EXTERNAL'), ['amqps://h:5671//v', 'amqps://[::1]:1//']);
  t.strictSame(shown('amqps://h//v;amqps://me:secret@[::1]:1', 'AMQPLAIN'), ['amqps://guest:**@h:5671//v', 'amqps://me:**@[::1]:1//']);
});

t.test('TLS, options and mistakes', async (t) => {
  t.match(amqpPlaceFromUrl('amqp://h', { certReqs: 'none', caFile: '/ca' }), {
    endpoints: [{ port: 5671, tls: { certReqs: 'none', checkHostname: false, caFile: '/ca' } }],
  });
  t.match(amqpPlaceFromUrl('amqps://h/v?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/a&connect_timeout=2&login_method=external'), {
    endpoints: [{ tls: { certReqs: 'required', checkHostname: true, caFile: '/a' } }],
    options: { connectTimeoutMs: 2000, loginMethod: 'EXTERNAL' },
  });
  t.match(amqpPlaceFromUrl(['amqp://a/v', 'amqp://b:1//v']), { endpoints: [{ host: 'a' }, { host: 'b', port: 1, vhost: '/v' }] });
  const problem = (url: string): string => {
    const place = amqpPlaceFromUrl(url);
    return 'problem' in place ? place.problem : 'none';
  };
  t.match(problem('redis://h'), /must start with amqp:\/\//);
  t.match(problem('amqp://u:secret@h:99999'), /port .* from 1 to 65535, got 99999 in 'amqp:\/\/u:\*\*@h:99999'/);
  t.match(problem('amqp://h/%ff'), /percent-encoded UTF-8/);
  t.match(problem('amqp://h?frobnicate=1'), /got 'frobnicate'/);
  t.match(problem('amqp://h?heartbeat=often'), /number of seconds, got 'often'/);
  t.match(problem('amqp://h?ssl_cert_reqs=none'), /need the scheme amqps/);
  t.match(problem('amqps://h?ssl_cert_reqs=maybe'), /required, optional or none/);
  t.match(problem('amqp://h?login_method=KERBEROS'), /PLAIN, AMQPLAIN or EXTERNAL/);
  t.match(problem(''), /got ''/);
});
