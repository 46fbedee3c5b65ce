/** Redis URLs to a broker and a result backend: what they share, what is refused. */
import { tmpdir } from 'node:os';
import t from 'tap';
import { Client } from '../../src/client/client.ts';
import { type ConnectionParams, openConnections } from '../../src/client/connections.ts';
import { record } from '../backend/conformance.ts';
import { queueTable } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { RedisServer } from '../redis-server.ts';

function open(params: Partial<ConnectionParams>) {
  return openConnections({
    brokerUrl: 'memory://',
    backendUrl: null,
    env: {},
    workdir: tmpdir(),
    synchronous: 'normal',
    busyTimeoutMs: 1000,
    leaseMs: 1000,
    resultExpiresMs: 60_000,
    log: new RecordingLog(),
    ...params,
  });
}

t.test('one database, one connection; another database, another connection', async (t) => {
  const joint = (brokerUrl: string, backendUrl: string): boolean => {
    const { broker, backend } = open({ brokerUrl, backendUrl });
    return backend?.commitsWith(broker) === true;
  };
  t.equal(joint('redis://h:1/2', 'redis://h:1/2'), true);
  t.equal(joint('redis://h:1', 'redis://h:1/0'), true);
  t.equal(joint('redis://h:1/2', 'redis://h:1/3'), false);
  t.equal(joint('redis://h:1/2', 'redis://h:2/2'), false);
  t.equal(joint('redis://u:p@h/2', 'redis://other:p@h/2'), false, 'another user has other rights');
  t.equal(open({ brokerUrl: 'redis://h' }).backend, null, 'no results unless asked for, as in Celery');
});

t.test('user and password of the settings, for a URL without', async (t) => {
  const server = await RedisServer.start(t, { config: { requirepass: 'geheim' } });
  const { backend: without } = open({ backendUrl: server.url() });
  await t.rejects(without!.start(), { code: 'BACKEND_UNAVAILABLE' });
  const { backend } = open({ backendUrl: server.url(), redisResults: { password: 'geheim', globalKeyPrefix: 'p:' } });
  await backend!.start();
  t.teardown(() => backend!.stop());
  await backend!.store(record('a', 'SUCCESS', 1));
  t.equal(server.cli('KEYS', '*'), 'p:celery-task-meta-a');
  t.notMatch(backend!.displayUrl, /geheim/);
});

t.test('no time to wait: what is in Redis is found', async (t) => {
  const server = await RedisServer.start(t);
  const { broker, backend } = open({ backendUrl: server.url() });
  const client = new Client({ broker, backend, routing: { queues: queueTable() }, taskProtocol: 2 });
  await client.start();
  t.teardown(() => client.stop());
  await backend!.store(record('here', 'SUCCESS', 1));
  await backend!.store(record('begun', 'STARTED', 1));
  t.equal(await client.result('here').get({ timeoutMs: 0 }), 1);
  await t.rejects(client.result('begun').get({ timeoutMs: 0 }), { code: 'RESULT_TIMEOUT' });
  await t.rejects(client.result('nowhere').get({ timeoutMs: 0 }), { code: 'RESULT_TIMEOUT' });
});

t.test('over a Unix socket, in a database of its own', async (t) => {
  const server = await RedisServer.start(t);
  for (const scheme of ['redis+socket', 'socket']) {
    const { backend } = open({ backendUrl: `${scheme}://${server.socketPath}?virtual_host=3` });
    await backend!.start();
    await backend!.store(record(scheme, 'SUCCESS', 1));
    t.equal(server.cli('-n', '3', 'EXISTS', `celery-task-meta-${scheme}`), '1');
    await backend!.stop();
  }
});

t.test('what is refused', async (t) => {
  const refused = (backendUrl: string, message: RegExp) => t.throws(() => open({ backendUrl }), { code: 'BACKEND_URL_INVALID', message });
  refused('redis://h:99999/0', /^result\.backend: the port/);
  refused('redis://:geheim@h/zero', /must be a number, got 'zero' in 'redis:\/\/:\*\*@h\/zero'/);
  refused('redis://h/0?colour=red', /got 'colour'/);
  refused('rediss://h/0?ssl_cert_reqs=perhaps', /ssl_cert_reqs must be/);
  t.throws(() => open({ backendUrl: 'mongodb://h' }), { code: 'NOT_SUPPORTED' });
  await t.rejects(open({ backendUrl: 'sentinel://127.0.0.1:1' }).backend!.start(), { code: 'CONFIG_INVALID', message: /master_name/ });
});
