/** TLS with certificates of the test's own. Skipped where openssl or a Redis with TLS (6 and later) is missing. */
import t from 'tap';
import { RedisServer, redisVersion } from '../redis-server.ts';
import { freePort } from '../test-server.ts';
import { certificates, noCertificates } from './certificates.ts';
import { link } from './redis-link.ts';

const missing = noCertificates || (redisVersion().major < 6 ? 'Redis has TLS since 6' : false);

t.test('TLS', { skip: missing }, async (t) => {
  const path = certificates(t, 'redis.test');
  const tls = { 'tls-cert-file': path('server.pem'), 'tls-key-file': path('server.key'), 'tls-ca-cert-file': path('ca.pem') };
  const plain = await RedisServer.start(t, { config: { ...tls, 'tls-port': '0' } });
  // The plain port is for the test's own ping.
  plain.cli('CONFIG', 'SET', 'tls-auth-clients', 'yes');
  const port = await freePort();
  plain.cli('CONFIG', 'SET', 'tls-port', String(port));
  const url = (query: string): string => `rediss://127.0.0.1:${port}/0?${query}`;
  const mine = `ssl_certfile=${path('client.pem')}&ssl_keyfile=${path('client.key')}`;

  const ok = async (query: string): Promise<string> => {
    const { connection } = link(t, url(query));
    await connection.acquire();
    const reply = String(await connection.call('PING'));
    await connection.release();
    return reply;
  };
  t.equal(await ok(`ssl_ca_certs=${path('ca.pem')}&ssl_check_hostname=false&${mine}`), 'PONG', 'the authority is checked, not the name');
  t.equal(await ok(`ssl_cert_reqs=none&${mine}`), 'PONG');
  await t.rejects(ok(mine), { name: 'RedisFailure', message: /certificate/ }, 'an authority nobody knows');
  await t.rejects(ok(`ssl_ca_certs=${path('ca.pem')}&${mine}`), { name: 'RedisFailure', message: /altnames/ }, 'a name that is not in it');
  await t.rejects(
    ok('ssl_cert_reqs=none'),
    { name: 'RedisFailure', message: /failed: TLS: [^:\n]*certificate required \(rediss:/ },
    'the server wants a certificate of ours',
  );
  await t.rejects(ok(`ssl_ca_certs=${path('absent.pem')}`), { name: 'RedisFailure', message: /ssl_ca_certs must be a readable file/ });
});
