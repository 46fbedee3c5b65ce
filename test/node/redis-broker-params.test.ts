/** Settings of a Redis broker, from a file to what the connection and the broker take. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { redisBrokerParams } from '../../src/node/redis-params.ts';

function load(t: Test, toml: string, env: NodeJS.ProcessEnv = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-redis-broker-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'umbel.toml'), toml);
  return loadConfig({ flags: {}, env, cwd: folder }).settings;
}

function problem(t: Test, toml: string): string {
  try {
    load(t, toml);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

t.test('nothing set', async (t) => {
  const settings = load(t, '[broker]\nurl = "redis://h"\n');
  t.strictSame(redisBrokerParams(settings, true), {
    connection: { connectTimeoutMs: 4000, failover: 'round-robin', startRetries: null, reconnectRetries: null },
    tls: null,
    broker: { workerLeaseMs: 30_000 },
  });
  t.match(redisBrokerParams(settings, false).connection, { startRetries: 0 }, 'a client does not wait for a broker');
});

t.test('everything set', async (t) => {
  const settings = load(
    t,
    `
[broker]
url = ["sentinel://a", "sentinel://b/2"]
connection_timeout = 9
connection_max_retries = 7
connection_retry_on_startup = false
failover_strategy = "shuffle"
use_ssl = { ssl_cert_reqs = "none" }

[broker.transport_options]
visibility_timeout = 1800
queue_order_strategy = "sorted"
priority_steps = [0, 5]
sep = ":"
global_keyprefix = "app:"
fanout_prefix = "x."
fanout_patterns = false
unacked_key = "u"
unacked_index_key = "ui"
unacked_mutex_key = "um"
unacked_mutex_expire = 60
unacked_restore_limit = 50
socket_timeout = 0
socket_connect_timeout = 1.5
socket_keepalive = false
health_check_interval = 0
retry_on_timeout = true
client_name = "me"
master_name = "m"
sentinel_kwargs = { username = "su", password = "sp" }

[redis]
lease_seconds = 12
`,
  );
  t.equal(settings.broker_url, 'sentinel://a;sentinel://b/2');
  t.strictSame(redisBrokerParams(settings, true), {
    connection: {
      connectTimeoutMs: 1500,
      failover: 'shuffle',
      startRetries: 0,
      reconnectRetries: 7,
      socketTimeoutMs: null,
      healthCheckIntervalMs: 0,
      socketKeepalive: false,
      clientName: 'me',
      masterName: 'm',
      sentinelUsername: 'su',
      sentinelPassword: 'sp',
    },
    tls: { certReqs: 'none' },
    broker: {
      workerLeaseMs: 12_000,
      visibilityTimeoutMs: 1_800_000,
      queueOrderStrategy: 'sorted',
      prioritySteps: [0, 5],
      sep: ':',
      globalKeyprefix: 'app:',
      fanoutPrefix: 'x.',
      fanoutPatterns: false,
      unackedKey: 'u',
      unackedIndexKey: 'ui',
      unackedMutexKey: 'um',
      unackedMutexExpireMs: 60_000,
      unackedRestoreLimit: 50,
      keepPublishes: true,
    },
  });
});

t.test('connecting again', async (t) => {
  const connection = (lines: string) => redisBrokerParams(load(t, `[broker]\nurl = "redis://h"\n${lines}\n`), true).connection;
  t.match(connection('connection_retry = false'), { startRetries: 0, reconnectRetries: 0 });
  t.match(connection('connection_retry = false\nconnection_retry_on_startup = true\nconnection_max_retries = 3'), {
    startRetries: 3,
    reconnectRetries: 0,
  });
});

t.test('several URLs: as a list, joined, from the environment', async (t) => {
  const url = (toml: string, env: NodeJS.ProcessEnv = {}) => load(t, toml, env).broker_url;
  t.equal(url('[broker]\nurl = ["redis://a", "redis://b"]\n'), 'redis://a;redis://b');
  t.equal(url('[broker]\nurl = "redis://a; redis://b"\n'), 'redis://a;redis://b');
  t.equal(url('', { CELERY_BROKER_URL: 'redis://a;redis://b' }), 'redis://a;redis://b');
  t.match(problem(t, '[broker]\nurl = ["redis://:geheim@a", "gopher://me:geheim@b"]\n'), /got "gopher:\/\/me:\*\*@b"/);
  t.match(problem(t, '[broker]\nurl = ["redis://a", "sqlite:///x.db"]\n'), /several URLs of Redis or of RabbitMQ only/);
  t.match(problem(t, '[broker]\nurl = []\n'), /must be a broker URL/);
});

t.test('TLS as a word or a table', async (t) => {
  const tls = (line: string) => redisBrokerParams(load(t, `[broker]\nurl = "redis://h"\n${line}\n`), true).tls;
  t.strictSame(tls('use_ssl = true'), {});
  t.equal(tls('use_ssl = false'), null);
  t.strictSame(tls('use_ssl = { ssl_check_hostname = false }'), { checkHostname: false });
  t.match(problem(t, '[broker]\nuse_ssl = 3\n'), /broker\.use_ssl must be true, false or a table, got 3/);
  t.match(problem(t, '[broker]\nuse_ssl = { keyfil = "x" }\n'), /has no key keyfil; did you mean keyfile\?/);
  t.strictSame(tls('use_ssl = { keyfile = "/k", ssl_certfile = "/c" }'), { keyFile: '/k', certFile: '/c' }, 'with and without ssl_');
});

t.test('what is wrong with options', async (t) => {
  const options = (line: string): string => problem(t, `[broker]\nurl = "redis://h"\n[broker.transport_options]\n${line}\n`);
  t.match(options('visibility_timeot = 1'), /has no key visibility_timeot; did you mean visibility_timeout\?/);
  t.match(options('max_connections = 10'), /max_connections that is not needed/);
  t.match(options('ack_emulation = false'), /ack_emulation that cannot be switched off/);
  t.match(options('priority_steps = [0, "x"]'), /priority_steps that must be a list of numbers/);
  for (const steps of ['[]', '[3, 6]', '[0, 6, 3]', '[0, 0]'])
    t.match(
      options(`priority_steps = ${steps}`),
      /priority_steps that must be a list of numbers from 0 to 255 that begins with 0 and ascends, got \[/,
    );
  t.equal(options('priority_steps = [0, 1, 255]'), 'accepted');
  t.match(options('queue_order_strategy = "fair"'), /'round_robin', 'priority' or 'sorted'/);
  t.match(options('fanout_prefix = 3'), /fanout_prefix that must be true, false or a prefix, got 3/);
});
