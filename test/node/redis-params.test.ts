/** Settings of a Redis result backend, from a file to what the connection and the backend take. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { redisResultParams } from '../../src/node/redis-params.ts';

function load(t: Test, toml: string, env: NodeJS.ProcessEnv = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-redis-params-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'umbel.toml'), toml);
  return { folder, config: loadConfig({ flags: {}, env, cwd: folder }) };
}

t.test('nothing set', async (t) => {
  const params = redisResultParams(load(t, '').config.settings);
  t.strictSame(params, {
    connection: {
      connectTimeoutMs: 10_000,
      socketTimeoutMs: 10_000,
      socketKeepalive: false,
      healthCheckIntervalMs: 25_000,
      clientName: null,
    },
    tls: null,
    username: null,
    password: null,
    chordJoinTimeoutMs: 3000,
    chordSizeTimeoutMs: 300_000,
    retryPolicy: {},
  });
});

t.test('everything set', async (t) => {
  const { folder, config } = load(
    t,
    `
[result]
backend = "sentinel://a;sentinel://b/2"
chord_join_timeout = 7
chord_size_timeout = 60

[result.backend_transport_options]
global_keyprefix = "app1"
result_chord_ordered = false
master_name = "m"
retry_policy = { max_retries = 2, interval_start = 0.5, interval_step = 0, interval_max = 5 }
sentinel_kwargs = { username = "su", password = "sp" }

[redis]
username = "u"
password = "p"
socket_timeout = 0
socket_connect_timeout = 1.5
socket_keepalive = true
backend_health_check_interval = 0
client_name = "results"
backend_use_ssl = { ssl_cert_reqs = "CERT_NONE", ssl_ca_certs = "ca.pem", ssl_certfile = "/c.pem", ssl_keyfile = "/k.pem", ssl_password = "x", ssl_check_hostname = false }
`,
  );
  t.strictSame(redisResultParams(config.settings), {
    connection: {
      connectTimeoutMs: 1500,
      socketTimeoutMs: null,
      socketKeepalive: true,
      healthCheckIntervalMs: 0,
      clientName: 'results',
      masterName: 'm',
      sentinelUsername: 'su',
      sentinelPassword: 'sp',
    },
    tls: {
      certReqs: 'none',
      caFile: join(folder, 'ca.pem'),
      certFile: '/c.pem',
      keyFile: '/k.pem',
      keyPassword: 'x',
      checkHostname: false,
    },
    username: 'u',
    password: 'p',
    chordJoinTimeoutMs: 7000,
    chordSizeTimeoutMs: 60_000,
    retryPolicy: { maxRetries: 2, intervalStartMs: 500, intervalStepMs: 0, intervalMaxMs: 5000 },
    globalKeyPrefix: 'app1',
    chordOrdered: false,
  });
});

t.test('from the environment, and what is wrong with it', async (t) => {
  const env = { UMBEL_RESULT_BACKEND_TRANSPORT_OPTIONS: '{"global_keyprefix": "env:"}' };
  t.equal(redisResultParams(load(t, '', env).config.settings).globalKeyPrefix, 'env:');
  const problem = (toml: string): string => {
    try {
      load(t, toml);
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    return 'accepted';
  };
  const options = (line: string): string => problem(`[result.backend_transport_options]\n${line}\n`);
  t.match(
    options('global_keyprefx = "a"'),
    /result\.backend_transport_options has no key global_keyprefx; did you mean global_keyprefix\?/,
  );
  t.match(options('visibility_timeout = 3600'), /has a key visibility_timeout that has no effect on results; it stands in broker/);
  t.match(options('sentinel_kwargs = { password = 3 }'), /umbel\.toml:\d/, 'with its place');
  t.match(problem('[result]\nbackend = "mongodb://h"\n'), /not built in this version/);
});
