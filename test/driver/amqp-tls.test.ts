/** TLS with certificates of the test's own, and login by certificate. Skipped where openssl is missing. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AmqpConnection } from '../../src/driver/amqp.ts';
import { type AmqpTls, amqpPlaceFromUrl } from '../../src/driver/amqp-url.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { RecordingLog } from './recording-log.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(120_000);

const missing = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is needed';

/** An authority, a server called rabbit.test and a client called worker. */
function certificates(t: Pick<Test, 'teardown'>): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const openssl = (line: string): void => void execFileSync('openssl', line.split(' '), { stdio: 'ignore', cwd: folder });
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  openssl(`req -x509 ${key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2`);
  for (const [name, subject] of [
    ['server', 'rabbit.test'],
    ['client', 'worker'],
  ] as const) {
    openssl(`req ${key} -keyout ${name}.key -out ${name}.csr -subj /CN=${subject} -addext subjectAltName=DNS:${subject}`);
    openssl(`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -out ${name}.pem -days 2 -copy_extensions copy`);
  }
  return (name) => join(folder, name);
}

t.test('TLS', { skip: missing }, async (t) => {
  const path = certificates(t);
  const server = await RabbitmqServer.start(t, {
    tls: { caFile: path('ca.pem'), certFile: path('server.pem'), keyFile: path('server.key'), verifyPeer: true },
    plugins: ['rabbitmq_auth_mechanism_ssl'],
    config: { 'auth_mechanisms.1': 'PLAIN', 'auth_mechanisms.2': 'EXTERNAL', ssl_cert_login_from: 'common_name' },
  });
  await server.control.addUser('worker', 'unused');
  await server.control.allow('worker');
  const client = { certFile: path('client.pem'), keyFile: path('client.key'), caFile: path('ca.pem') };
  const connect = async (tls: Partial<AmqpTls>, rest = ''): Promise<AmqpConnection> => {
    const place = amqpPlaceFromUrl(`amqps://127.0.0.1:${server.tlsPort}/${rest}`, tls);
    if ('problem' in place) throw new Error(place.problem);
    const connection = new AmqpConnection({ place, log: new RecordingLog() });
    t.teardown(() => connection.abandon());
    await connection.acquire();
    return connection;
  };
  const named = { ...client, serverHostname: 'rabbit.test' };

  t.test('with a client certificate', async (t) => {
    const connection = await connect(named);
    t.equal(connection.state, 'connected');
    const channel = await connection.openChannel();
    await channel.barrier();
    await connection.release();
  });

  t.test('login by certificate', async (t) => {
    const connection = await connect(named, '?login_method=EXTERNAL');
    t.match(await server.control.list('connections', ['user', 'auth_mechanism', 'ssl']), /worker\tEXTERNAL\ttrue/);
    await connection.release();
  });

  t.test('a server of another name, or of an authority that is not known, is refused', async (t) => {
    await t.rejects(connect(client), { kind: 'lost', message: /altnames|IP/i });
    const { caFile: _, ...strangers } = named;
    await t.rejects(connect(strangers), { kind: 'lost', message: /self-signed|unable to|certificate/i });
    const connection = await connect({ ...client, checkHostname: false });
    await connection.release();
    const careless = await connect({ certFile: client.certFile, keyFile: client.keyFile, certReqs: 'none' });
    await careless.release();
  });

  t.test('a file that is not there is named', async (t) => {
    await t.rejects(connect({ ...named, keyFile: '/no/such.key' }), {
      kind: 'auth',
      message: /ssl_keyfile must be a readable file, got \/no\/such.key/,
    });
  });
});
