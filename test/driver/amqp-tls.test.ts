/** TLS with certificates of the test's own, and login by certificate. Skipped where openssl is missing. */
import t from 'tap';
import { AmqpConnection, type AmqpConnectOptions } from '../../src/driver/amqp.ts';
import { type AmqpTls, amqpPlaceFromUrl } from '../../src/driver/amqp-url.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { certificates, noCertificates } from './certificates.ts';
import { RecordingLog } from './recording-log.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

t.test('TLS', { skip: noCertificates }, async (t) => {
  const path = certificates(t, 'rabbit.test');
  const server = await RabbitmqServer.start(t, {
    tls: { caFile: path('ca.pem'), certFile: path('server.pem'), keyFile: path('server.key'), verifyPeer: true },
    plugins: ['rabbitmq_auth_mechanism_ssl'],
    config: { 'auth_mechanisms.1': 'PLAIN', 'auth_mechanisms.2': 'EXTERNAL', ssl_cert_login_from: 'common_name' },
  });
  await server.control.addUser('worker', 'unused');
  await server.control.allow('worker');
  const client = { certFile: path('client.pem'), keyFile: path('client.key'), caFile: path('ca.pem') };
  const connect = async (tls: Partial<AmqpTls>, rest = '', options: Partial<AmqpConnectOptions> = {}): Promise<AmqpConnection> => {
    const place = amqpPlaceFromUrl(`amqps://127.0.0.1:${server.tlsPort}/${rest}`, tls);
    if ('problem' in place) throw new Error(place.problem);
    const connection = new AmqpConnection({ place, options, log: new RecordingLog() });
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
    t.equal(connection.displayUrl, `amqps://127.0.0.1:${server.tlsPort}//`, 'no user is sent, and none is shown');
    await connection.release();
  });

  t.test('a certificate of nobody is refused as such', async (t) => {
    const nobody = { ...named, certFile: path('server.pem'), keyFile: path('server.key') };
    await t.rejects(connect(nobody, '?login_method=EXTERNAL'), {
      kind: 'auth',
      message: /^RabbitMQ does not accept the certificate of the client: 403 [^\n]* \(amqps:\/\/127\.0\.0\.1:\d+\/\/\)$/,
    });
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

  t.test('what the handshake says is one line', async (t) => {
    const careless = { certReqs: 'none' } as const;
    await t.rejects(connect(careless), { kind: 'lost', message: /failed: TLS: [^:\n]*certificate required \(amqps:[^\n]*$/ });
  });

  t.test('a file that is not there ends the start, whatever the patience', async (t) => {
    await t.rejects(connect({ ...named, keyFile: '/no/such.key' }, '', { startRetries: null }), {
      kind: 'config',
      message: /ssl_keyfile must be a readable file, got \/no\/such.key.*\(amqps:/,
    });
  });
});
