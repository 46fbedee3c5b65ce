/** Which URL means which broker and backend, and what is said of those that mean none. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SqliteBackend } from '../../src/backend/sqlite.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { SqliteBroker } from '../../src/broker/sqlite/sqlite-broker.ts';
import { type ConnectionParams, type Connections, openConnections } from '../../src/client/connections.ts';
import { RecordingLog } from '../driver/recording-log.ts';

function open(folder: string, brokerUrl: string | null, backendUrl: string | null, env: NodeJS.ProcessEnv = {}): Connections {
  const params: ConnectionParams = {
    brokerUrl,
    backendUrl,
    env: { XDG_STATE_HOME: join(folder, 'state'), ...env },
    workdir: folder,
    synchronous: 'normal',
    busyTimeoutMs: 1000,
    leaseMs: 1000,
    resultExpiresMs: null,
    log: new RecordingLog(),
  };
  return openConnections(params);
}

t.test('what a URL means', async (t) => {
  const folder = t.testdir();
  const file = `sqlite:///${join(folder, 'a.db')}`;
  const other = `sqlite:///${join(folder, 'b.db')}`;
  const rows: readonly (readonly [string | null, string | null, typeof MemoryBroker | typeof SqliteBroker, unknown])[] = [
    [null, null, SqliteBroker, SqliteBackend],
    [file, null, SqliteBroker, SqliteBackend],
    [`sqla+${file}`, null, SqliteBroker, SqliteBackend],
    [file, other, SqliteBroker, SqliteBackend],
    [file, `db+${other}`, SqliteBroker, SqliteBackend],
    [file, 'disabled', SqliteBroker, null],
    [file, 'disabled://', SqliteBroker, null],
    [file, 'memory://', SqliteBroker, MemoryBackend],
    ['memory://', null, MemoryBroker, MemoryBackend],
    ['memory://', file, MemoryBroker, SqliteBackend],
  ];
  for (const [brokerUrl, backendUrl, brokerClass, backendClass] of rows) {
    const { broker, backend } = open(folder, brokerUrl, backendUrl);
    t.equal(broker.constructor, brokerClass, `${brokerUrl} ${backendUrl}`);
    t.equal(backend?.constructor ?? null, backendClass);
  }
});

t.test('on one file both commit together, on two they do not', async (t) => {
  const folder = t.testdir();
  const file = `sqlite:///${join(folder, 'a.db')}`;
  const joint = ({ broker, backend }: Connections): boolean | undefined => backend?.commitsWith(broker);
  t.equal(joint(open(folder, file, null)), true);
  t.equal(joint(open(folder, file, file)), true);
  t.equal(joint(open(folder, 'sqlite:///a.db', file)), true, 'a relative path is the same file');
  t.equal(joint(open(folder, file, `sqlite:///${join(folder, 'b.db')}`)), false);
  t.equal(joint(open(folder, 'memory://', null)), false);
});

t.test('the default lies in the state folder, which is made for its owner alone', async (t) => {
  const folder = t.testdir();
  t.equal(open(folder, null, null).broker.displayUrl, `sqlite:///${join(folder, 'state/umbel/umbel.db')}`);
  t.equal(statSync(join(folder, 'state/umbel')).mode & 0o777, 0o700);
});

t.test('a folder the user has named is not made', async (t) => {
  const folder = t.testdir();
  const { broker } = open(folder, `sqlite:///${join(folder, 'none/a.db')}`, null);
  await t.rejects(broker.start(), { code: 'BROKER_UNAVAILABLE', message: /the folder .* must exist/ });
  t.notOk(existsSync(join(folder, 'none')));
});

t.test('a state folder that cannot be made', async (t) => {
  const folder = t.testdir({ file: 'a file' });
  t.throws(() => open(folder, null, null, { XDG_STATE_HOME: join(folder, 'file') }), {
    code: 'FILE_CANNOT_CREATE',
    message: /XDG_STATE_HOME/,
  });
});

t.test('schemes of later versions and schemes of nobody; passwords are masked', async (t) => {
  const folder = t.testdir();
  const rows: readonly (readonly [string, string | null, string, RegExp])[] = [
    ['kafka://me:secret@host//', null, 'NOT_SUPPORTED', /broker\.url .* got kafka:\/\/.*not built yet/],
    ['amqp://me:secret@host:0//', null, 'BROKER_URL_INVALID', /broker\.url: the port of an AMQP URL must be from 1 to 65535, got 0/],
    ['redis://:secret@host/zero', null, 'BROKER_URL_INVALID', /broker\.url: the database of a Redis URL must be a number, got 'zero'/],
    ['gopher://me:secret@host', null, 'BROKER_URL_INVALID', /broker\.url must be sqlite:\/\/\/FILE, .* got gopher:/],
    ['nonsense', null, 'BROKER_URL_INVALID', /got nonsense/],
    ['memory://', 'amqp://me:secret@host//', 'NOT_SUPPORTED', /result\.backend .* got amqp:/],
    ['memory://', 'rpc://me:secret@host//', 'BACKEND_URL_INVALID', /result\.backend must be rpc:\/\/ with nothing behind it, got rpc:/],
    ['memory://', 'gopher://me:secret@host', 'BACKEND_URL_INVALID', /result\.backend .* got gopher:/],
  ];
  for (const [brokerUrl, backendUrl, code, message] of rows) {
    try {
      open(folder, brokerUrl, backendUrl);
      t.fail(`${brokerUrl} must be refused`);
    } catch (error) {
      t.match(error, { code, message });
      t.notMatch(String(error), /secret/);
    }
  }
});

t.test('a broker and a backend in one Redis database share a connection', async (t) => {
  const folder = t.testdir();
  const together = (brokerUrl: string, backendUrl: string): boolean => {
    const { broker, backend } = open(folder, brokerUrl, backendUrl);
    return backend?.commitsWith(broker) ?? false;
  };
  t.equal(together('redis://localhost/1', 'redis://localhost:6379/1'), true);
  t.equal(together('redis://:a@localhost/1', 'redis://:a@localhost/1'), true);
  t.equal(together('redis://localhost/1', 'redis://localhost/2'), false, 'another database');
  t.equal(together('redis://localhost/1', 'redis://other/1'), false, 'another server');
  const { broker } = open(folder, 'redis://me:secret@a/1;redis://b', null);
  t.equal(broker.displayUrl, 'redis://me:**@a:6379/1;redis://b:6379/0');
});
