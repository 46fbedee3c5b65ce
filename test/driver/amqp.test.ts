/** One connection: who may not connect and why, how it logs in, what it says of itself, failover, and its end. */
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { AmqpConnection, type AmqpConnectOptions } from '../../src/driver/amqp.ts';
import { amqpPlace } from '../broker/amqp/amqp-place.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { freePort } from '../test-server.ts';
import { RecordingLog } from './recording-log.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

function link(t: Test, url: string, options: Partial<AmqpConnectOptions> = {}): { connection: AmqpConnection; log: RecordingLog } {
  const log = new RecordingLog();
  const connection = new AmqpConnection({ place: amqpPlace(url), options, log });
  t.teardown(() => connection.abandon());
  return { connection, log };
}

const failure = (kind: string, message: RegExp) => ({ name: 'AmqpFailure', kind, message });

t.test('a connection', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const at = (rest = '', user = 'guest:guest'): string => `${vhost.url({ user })}${rest}`;

  t.test('refusals say what is wrong, with the code and without the password', async (t) => {
    await t.rejects(
      link(t, at('', 'guest:wrong')).connection.acquire(),
      failure('auth', /user and password of the URL: 403 ACCESS_REFUSED.*amqp:\/\/guest:\*\*@/),
    );
    await t.rejects(link(t, vhost.url({ vhost: 'nowhere' })).connection.acquire(), failure('vhost', /virtual host: 530 .*nowhere/));
    await t.rejects(link(t, at('?login_method=EXTERNAL')).connection.acquire(), failure('auth', /login method: SASL mechanism EXTERNAL/));
    const port = await freePort();
    await t.rejects(link(t, `amqp://127.0.0.1:${port}`).connection.acquire(), failure('lost', /ECONNREFUSED/));
  });

  t.test('a server that says nothing is not waited for for ever', async (t) => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.teardown(() => silent.close());
    const { port } = silent.address() as { port: number };
    await t.rejects(
      link(t, `amqp://127.0.0.1:${port}`, { connectTimeoutMs: 100 }).connection.acquire(),
      failure('lost', /no answer within 100 ms/),
    );
  });

  t.test('login, virtual host, name, properties and heartbeat', async (t) => {
    const [name, encoded] = [`${vhost.name}/b`, `${vhost.name}%2Fb`];
    await vhost.control.addVhost(name);
    t.teardown(() => vhost.control.deleteVhost(name));
    const { connection } = link(t, `${vhost.url({ vhost: encoded })}?login_method=amqplain&heartbeat=7`, {
      connectionName: 'umbel@test',
      clientProperties: { purpose: 'testing', answer: 42 },
    });
    await connection.acquire();
    t.equal(connection.heartbeatSeconds, 7);
    t.match(connection.server, { product: 'RabbitMQ', majorVersion: Number });
    const shown = await vhost.control.list('connections', ['auth_mechanism', 'timeout', 'client_properties'], name);
    t.match(shown, /^AMQPLAIN\t7\t/);
    for (const part of ['umbel@test', 'testing', '42', 'consumer_cancel_notify', 'connection.blocked', '<<"umbel">>']) t.match(shown, part);
    await connection.release();
    t.equal(connection.state, 'stopped');
    await t.rejects(connection.openChannel(), failure('stopped', /any more/));
  });

  t.test('the server wants less heartbeat than we do, or we want none', async (t) => {
    const [usual, none] = [link(t, at()), link(t, at('?heartbeat=0'))];
    await usual.connection.acquire();
    await none.connection.acquire();
    t.equal(usual.connection.heartbeatSeconds, 60, 'of 120 and 60');
    t.equal(none.connection.heartbeatSeconds, 0);
  });

  t.test('several URLs are tried in turn, and after a loss from the last one on', async (t) => {
    const port = await freePort();
    const { connection, log } = link(t, `amqp://127.0.0.1:${port}//;${at()}`, { startRetries: 3 });
    await connection.acquire();
    t.equal(connection.epoch, 1);
    t.equal(connection.where, vhost.url({ user: 'guest:**' }));
    t.match(log.lines, [{ level: 'warning', event: 'amqp.skipped' }]);
    const said = log.lines[0]?.message ?? '';
    const skipped = `amqp://guest:**@127.0.0.1:${port}//`;
    t.ok(said.startsWith(`Cannot connect to ${skipped}: the connection to RabbitMQ failed: connect ECONNREFUSED`), said);
    t.ok(said.endsWith(`. Taking ${connection.where} instead`), said);
    const again = new Promise<void>((resolve) => connection.onStateChange((state) => state === 'connected' && resolve()));
    connection.reconnect('a test');
    await again;
    t.equal(connection.epoch, 2);
    t.match((await log.event('amqp.lost')).message, /given up: a test/);
    t.match((await log.event('amqp.connected')).message, new RegExp(String(vhost.port)));
    t.equal(log.lines.filter(({ event }) => event === 'amqp.skipped').length, 1, 'the one that serves is asked first');
  });

  t.test('a connection that must not be repaired ends with its loss; one without a server gives up after its retries', async (t) => {
    const { connection } = link(t, at(), { reconnectRetries: 0 });
    await connection.acquire();
    const stopped = new Promise((resolve) => connection.onStateChange((state, cause) => state === 'stopped' && resolve(cause)));
    connection.reconnect('a test');
    t.match(await stopped, { kind: 'lost' });
    const port = await freePort();
    const retrying = link(t, `amqp://127.0.0.1:${port}`, { startRetries: 2 });
    await t.rejects(retrying.connection.acquire(), failure('lost', /ECONNREFUSED/));
    t.match((await retrying.log.event('amqp.unreachable')).message, /Trying again \(1\/2\)/);
    t.equal(retrying.log.lines.length, 1, 'the same cause is said once');
  });

  t.test('a name that AMQP has no room for is refused, and its channel goes on', async (t) => {
    const { connection } = link(t, at());
    await connection.acquire();
    const channel = await connection.openChannel();
    // As many characters as may be, and more bytes.
    const long = 'ä'.repeat(255);
    const plain = { durable: false, autoDelete: true, exclusive: false, arguments: {} };
    const refused = failure('invalid', /must have at most 255 bytes, got 510 \('ää.*…'\) \(amqp:/);
    await t.rejects(channel.declareQueue(long, plain), refused);
    await t.rejects(channel.declareExchange(long, 'direct', plain), refused);
    await t.rejects(channel.bindQueue('q', 'amq.direct', long), refused);
    await t.rejects(
      channel.consume(long, { consumerTag: 'c', noAck: true, exclusive: false, arguments: {} }, () => {}),
      refused,
    );
    await t.rejects(channel.get(long, true), refused);
    await channel.barrier();
    t.equal((await channel.declareQueue('n'.repeat(255), plain)).messages, 0, 'none is as long as they may be');
    await channel.close();
  });

  t.test('a channel that ends harms no other', async (t) => {
    const { connection } = link(t, at());
    await connection.acquire();
    const [one, other] = [await connection.openChannel(), await connection.openChannel()];
    const ended = new Promise((resolve) => one.onClose(resolve));
    await t.rejects(one.checkQueue('no such queue'), failure('not-found', /no queue 'no such queue'/));
    t.match(await ended, { kind: 'not-found', replyCode: 404 });
    await t.rejects(one.barrier(), failure('not-found', /no queue/), 'it says why it ended');
    await other.barrier();
    await other.close();
    t.equal(other.closed, true);
    await t.rejects(other.barrier(), failure('stopped', /was closed/));
  });
});
