/** Settings of a RabbitMQ broker, from a file to what the connection and the broker take; options of the wrong transport. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { amqpBrokerParams } from '../../src/node/amqp-params.ts';
import { checkTransportOptions } from '../../src/node/transport-options.ts';

function load(t: Test, toml: string): Config {
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  return loadConfig({ flags: {}, env: {}, cwd });
}

t.test('nothing set', async (t) => {
  const config = load(t, '[broker]\nurl = "amqp://h"\n');
  checkTransportOptions(config);
  t.strictSame(amqpBrokerParams(config.settings, true, 'w@h'), {
    connection: {
      connectTimeoutMs: 4000,
      heartbeatSeconds: 120,
      loginMethod: 'PLAIN',
      connectionName: 'w@h',
      clientProperties: {},
      failover: 'round-robin',
      startRetries: null,
      reconnectRetries: null,
    },
    tls: null,
    broker: { holdDeferredMs: 600_000, detectQuorumQueues: true, nativeDelay: false, nativeDelayQueueType: 'quorum' },
  });
  t.equal(amqpBrokerParams(config.settings, false, 'c').connection?.startRetries, 0, 'a client does not wait for a broker');
});

t.test('everything set', async (t) => {
  const toml = `
[broker]
url = ["amqp://a", "pyamqp://b//v"]
connection_timeout = 9
connection_max_retries = 7
connection_retry = false
failover_strategy = "shuffle"
heartbeat = 0
login_method = "external"
park_after_seconds = 30
native_delayed_delivery_queue_type = "classic"
use_ssl = { ca_certs = "/ca.pem", certfile = "/c.pem", keyfile = "/k.pem", cert_reqs = "CERT_NONE", server_hostname = "s", ciphers = "ALL" }

[broker.transport_options]
confirm_publish = false
max_retries = 4
interval_start = 1
interval_step = 2
interval_max = 4
channel_max = 100
frame_max = 8192
socket_keepalive = false
client_properties = { connection_name = "mine", team = "shop" }

[worker]
detect_quorum_queues = false

[task]
default_queue_type = "quorum"
`;
  const config = load(t, toml);
  checkTransportOptions(config);
  t.equal(config.settings.broker_url, 'amqp://a;pyamqp://b//v');
  t.strictSame(amqpBrokerParams(config.settings, true, 'w@h'), {
    connection: {
      connectTimeoutMs: 9000,
      heartbeatSeconds: 0,
      loginMethod: 'EXTERNAL',
      connectionName: 'mine',
      clientProperties: { team: 'shop' },
      failover: 'shuffle',
      startRetries: 0,
      reconnectRetries: 0,
      channelMax: 100,
      frameMax: 8192,
      socketKeepalive: false,
    },
    tls: { certReqs: 'none', caFile: '/ca.pem', certFile: '/c.pem', keyFile: '/k.pem', serverHostname: 's', ciphers: 'ALL' },
    broker: {
      holdDeferredMs: 30_000,
      detectQuorumQueues: false,
      nativeDelay: true,
      nativeDelayQueueType: 'classic',
      confirmPublish: false,
      publishPatienceMs: 12_000,
    },
  });
  t.strictSame(amqpBrokerParams(load(t, '[broker]\nurl = "amqp://h"\nuse_ssl = true\n').settings, true, 'n').tls, {});
});

t.test('options of another transport are refused, with their place', async (t) => {
  const rows: readonly (readonly [string, RegExp])[] = [
    [
      'url = "amqp://h"\ntransport_options = { visibility_timeout = 9 }',
      /transport_options \(visibility_timeout\) must be left out unless the broker is a Redis server, got it with amqp:\/\/h \(umbel\.toml:3\)/,
    ],
    [
      'url = "redis://h"\ntransport_options = { confirm_publish = true }',
      /transport_options \(confirm_publish\) .* unless the broker is RabbitMQ, got it with redis:\/\/h/,
    ],
    [
      'transport_options = { socket_keepalive = true }',
      /unless the broker is a Redis server or RabbitMQ|unless the broker is a Redis server, got it with the embedded broker/,
    ],
    ['url = "memory://"\nuse_ssl = true', /broker\.use_ssl must be left out .* got it with memory:\/\//],
    [
      'use_ssl = true',
      /broker\.use_ssl must be left out unless the broker is a Redis server or RabbitMQ, got it with the embedded broker \(umbel\.toml:2\)/,
    ],
    ['url = "redis://h"\nuse_ssl = { ciphers = "ALL" }', /broker\.use_ssl \(ciphers\) must be left out unless the broker is RabbitMQ/],
    [
      'url = "redis://h"\nheartbeat = 10',
      /broker\.heartbeat must be left out unless the broker is RabbitMQ, got it with redis:\/\/h \(umbel\.toml:3\)/,
    ],
  ];
  for (const [lines, message] of rows)
    t.throws(() => checkTransportOptions(load(t, `[broker]\n${lines}\n`)), { code: 'CONFIG_INVALID', message });
  for (const lines of ['url = "redis://h"\ntransport_options = { socket_keepalive = true }', 'url = "amqp://h"\nheartbeat = 10', ''])
    t.doesNotThrow(() => checkTransportOptions(load(t, `[broker]\n${lines}\n`)));
  t.throws(() => load(t, '[broker]\nurl = ["amqp://h", "redis://h"]'), { message: /may be several URLs of Redis or of RabbitMQ only/ });
  t.throws(() => load(t, '[broker]\ntransport_options = { channel_max = 4 }'), {
    message: /channel_max that must be an integer from 16 to 65535, got 4/,
  });
  t.throws(() => load(t, '[broker]\nurl = []'), { message: /broker\.url must be a broker URL .*, got \[\]/ });
});
