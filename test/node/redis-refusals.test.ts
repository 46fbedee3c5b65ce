/** Settings of Redis that do not go together, as `umbel config check`, the worker and the commands refuse them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createLogger } from '../../src/log/create-logger.ts';
import { configuredConnections } from '../../src/node/open-client.ts';
import { checkTransportOptions } from '../../src/node/transport-options.ts';
import { runInMemory } from '../cli/run-in-memory.ts';

function problems(t: Test, toml: string): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-redis-refusals-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'umbel.toml'), toml);
  const config = loadConfig({ flags: {}, env: {}, cwd: folder });
  try {
    t.equal(checkTransportOptions(config), config);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const log = createLogger({ level: 'critical', format: 'text', processName: 'test' });
    t.throws(() => configuredConnections(config, {}, log), { code: 'CONFIG_INVALID' }, 'the worker and the commands refuse it too');
    return error.problems.map(({ message, place }) => `${message} (${place})`);
  }
}

function refused(t: Test, toml: string, ...patterns: readonly RegExp[]): void {
  const found = problems(t, toml);
  t.equal(found.length, patterns.length, found.join('\n') || 'nothing was refused');
  for (const [index, pattern] of patterns.entries()) t.match(found[index], pattern);
}

t.test('options of Redis where there is none', async (t) => {
  const options = 'backend_transport_options = { global_keyprefix = "x" }\n';
  refused(
    t,
    `[result]\n${options}`,
    /^result\.backend_transport_options \(global_keyprefix\) must be left out unless results are kept in Redis, got it with no result\.backend/,
  );
  refused(t, `[broker]\nurl = "redis://h"\n[result]\nbackend = "disabled"\n${options}`, /got it with disabled/);
  t.strictSame(problems(t, ''), []);
  t.strictSame(problems(t, `[result]\nbackend = "redis://h"\n${options}`), []);
});

t.test('sentinels: what they watch must be said, and only with them', async (t) => {
  refused(
    t,
    '[broker]\nurl = "sentinel://:geheim@h"\n',
    /^broker\.transport_options must have the key master_name with a sentinel:\/\/ URL, got none with sentinel:\/\/:\*\*@h/,
  );
  refused(t, '[result]\nbackend = "sentinel://h"\n', /^result\.backend_transport_options must have the key master_name/);
  refused(
    t,
    '[broker]\nurl = "redis://h"\ntransport_options = { master_name = "m" }\n',
    /\(master_name\) must be left out unless broker\.url is a sentinel/,
  );
  refused(
    t,
    '[result]\nbackend = "redis://h"\nbackend_transport_options = { sentinel_kwargs = { password = "p" } }\n',
    /\(sentinel_kwargs\) must be left out/,
  );
});

t.test('keys of the broker that would be those of something else', async (t) => {
  const keys = (options: string, more = '') => `[broker]\nurl = "redis://h"\ntransport_options = { ${options} }\n${more}`;
  refused(
    t,
    keys('unacked_key = "unacked_index"'),
    /^broker\.transport_options \(unacked_index_key\) must be a key of its own, got unacked_index, which is that of unacked_key \(umbel\.toml:3\)$/,
  );
  refused(
    t,
    keys('unacked_mutex_key = "k", unacked_index_key = "k"'),
    /\(unacked_mutex_key\) .*, got k, which is that of unacked_index_key/,
  );
  refused(t, keys('unacked_key = "celery"'), /\(unacked_key\) .* got celery, which is that of queue celery/);
  refused(t, keys('unacked_key = "mail-3", sep = "-"', '[queues.mail]\n'), /got mail-3, which is that of queue mail/);
  refused(t, keys('unacked_key = "_umbel.workers", global_keyprefix = "p"'), /got _umbel\.workers, which is that of the living workers/);
  refused(t, keys('unacked_mutex_key = "_kombu.binding.celery"'), /got _kombu\.binding\.celery, which is that of a queue or exchange/);
  refused(t, '[broker]\nurl = "redis://h"\n[queues.unacked_mutex]\n', /\(unacked_mutex_key\) .* which is that of queue unacked_mutex/);
  t.strictSame(problems(t, keys('unacked_key = "held", unacked_index_key = "ages", unacked_mutex_key = "lock"')), []);
});

t.test('a client name that Redis does not take', async (t) => {
  refused(
    t,
    '[broker]\nurl = "redis://h?client_name=a%20b"\n',
    /^broker\.url: client_name must be printable ASCII without spaces, got 'a b'/,
  );
  const check = async (toml: string): Promise<string> =>
    (await runInMemory(['config', 'check'], { cwd: t.testdir({ 'umbel.toml': toml }) })).stderr;
  t.match(
    await check('[redis]\nclient_name = "a b"\n'),
    /redis\.client_name must be printable ASCII without spaces, got "a b" .*\(umbel\.toml:2\)/,
  );
  t.match(
    await check('[broker]\nurl = "redis://h"\ntransport_options = { client_name = "ä" }\n'),
    /broker\.transport_options.*client_name.* must be printable ASCII without spaces, got "ä"/,
  );
});

t.test('TLS over a socket', async (t) => {
  refused(
    t,
    '[broker]\nurl = "redis+socket:///r.sock"\nuse_ssl = true\n',
    /^broker\.use_ssl must be left out with a socket, which has no TLS/,
  );
  refused(
    t,
    '[result]\nbackend = "redis+socket:///r.sock"\n[redis]\nbackend_use_ssl = { ssl_cert_reqs = "none" }\n',
    /^redis\.backend_use_ssl must/,
  );
});

t.test('one database, one connection: nothing that would change nothing', async (t) => {
  const both = (broker: string, redis: string, backend = 'redis://h/0') =>
    `[broker]\nurl = "redis://h"\n${broker}\n[result]\nbackend = "${backend}"\n[redis]\n${redis}\n`;
  refused(
    t,
    both('', 'socket_timeout = 5\nclient_name = "x"'),
    /^redis\.socket_timeout must be left out, or say what broker\.transport_options\.socket_timeout says: .*\(umbel\.toml:7\)$/,
    /^redis\.client_name/,
  );
  refused(
    t,
    both('', 'socket_connect_timeout = 5\nsocket_keepalive = false\nbackend_health_check_interval = 1'),
    /connect/,
    /keepalive/,
    /health/,
  );
  t.strictSame(problems(t, both('', 'socket_connect_timeout = 4')), [], 'that of the broker');
  t.strictSame(problems(t, both('transport_options = { client_name = "x" }', 'client_name = "x"')), []);
  t.strictSame(problems(t, both('', 'client_name = "x"', 'redis://h/1')), [], 'another database');
  t.strictSame(problems(t, both('', 'client_name = "x"\nusername = "results"')), [], 'another user');
  refused(
    t,
    both('', '', 'redis://h/0?client_name=x'),
    /^result\.backend must say how to connect as broker\.url does, or nothing: .*client_name=x/,
  );
  t.strictSame(problems(t, both('', '', 'redis://h/1?client_name=x')), []);
  t.strictSame(problems(t, both('', 'lease_seconds = 5\npassword = "p"')), []);
});

t.test('config check says what is wrong with the URL of a Redis server', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[broker]\nurl = "redis://h/x"\n[result]\nbackend = "redis://h:99999"\n' });
  const { status, stderr } = await runInMemory(['config', 'check'], { cwd });
  t.equal(status, 78);
  t.match(stderr, /2 problems/);
  t.match(stderr, /broker\.url: the database of a Redis URL must be a number, got 'x' .*\(umbel\.toml:2\)/);
  t.match(stderr, /result\.backend: the port of a Redis URL must be from 1 to 65535, got 99999 .*\(umbel\.toml:4\)/);
});
