/** From settings to queues as brokers declare them; router modules. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { ModuleRouter } from '../../src/node/module-router.ts';
import { queueTableOf, routingParams } from '../../src/node/routing-params.ts';
import type { TaskToRoute } from '../../src/producer/router.ts';

function load(t: Test, toml: string) {
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  return loadConfig({ flags: {}, env: {}, cwd }).settings;
}

t.test('the default queue', async (t) => {
  const table = (toml: string) => queueTableOf(load(t, toml)).select([], []);
  t.same(table(''), [{ name: 'celery', exchange: 'celery', exchangeType: 'direct', routingKey: 'celery' }]);
  t.same(
    table(
      '[task]\ndefault_queue = "q"\ndefault_exchange = "e"\ndefault_exchange_type = "topic"\ndefault_routing_key = "k"\ndefault_queue_type = "quorum"\nqueue_max_priority = 5',
    ),
    [{ name: 'q', exchange: 'e', exchangeType: 'topic', routingKey: 'k', arguments: { 'x-queue-type': 'quorum' } }],
    'a quorum queue gets no x-max-priority',
  );
});

t.test('declared queues', async (t) => {
  const toml = `
[task]
default_exchange = "tasks"
default_exchange_type = "topic"
queue_max_priority = 9
[queues.plain]
[queues.full]
exchange = "ex"
routing_key = "k"
durable = false
auto_delete = true
exclusive = true
expires = 1.5
message_ttl = 0
max_length = 10
max_length_bytes = 20
max_priority = 3
queue_arguments = { x-overflow = "reject-publish" }
consumer_arguments = { x-priority = 5 }
binding_arguments = { x = "y" }
no_declare = true
delivery_mode = "transient"
[queues.bound]
bindings = [{ exchange = "ex", routing_key = "b" }, { exchange = "heads", exchange_type = "headers", arguments = { x-match = "all" } }]
[queues.typed]
exchange = "heads"
[queues.reload]
broadcast = true
`;
  const [plain, full, bound, typed, reload] = queueTableOf(load(t, toml)).select([], []);
  const common = { durable: true, autoDelete: false, exclusive: false, arguments: { 'x-max-priority': 9 } };
  t.same(plain, { name: 'plain', exchange: 'tasks', exchangeType: 'topic', routingKey: 'plain', ...common });
  t.same(full, {
    name: 'full',
    exchange: 'ex',
    exchangeType: 'direct',
    routingKey: 'k',
    durable: false,
    autoDelete: true,
    exclusive: true,
    arguments: {
      'x-expires': 1500,
      'x-message-ttl': 0,
      'x-max-length': 10,
      'x-max-length-bytes': 20,
      'x-max-priority': 3,
      'x-overflow': 'reject-publish',
    },
    consumerArguments: { 'x-priority': 5 },
    bindingArguments: { x: 'y' },
    noDeclare: true,
    deliveryMode: 1,
  });
  t.match(bound, {
    exchange: '',
    bindings: [
      { exchange: 'ex', exchangeType: 'direct', routingKey: 'b' },
      { exchange: 'heads', exchangeType: 'headers', routingKey: '', arguments: { 'x-match': 'all' } },
    ],
  });
  t.equal(typed?.exchangeType, 'headers', 'what another queue says of the exchange');
  t.match(reload, {
    name: /^bcast\.[0-9a-f-]{36}$/,
    alias: 'reload',
    broadcast: true,
    exchange: 'reload',
    exchangeType: 'fanout',
    routingKey: 'celery',
    autoDelete: true,
  });
});

t.test('missing queues', async (t) => {
  const table = queueTableOf(load(t, '[task]\ncreate_missing_queue_type = "quorum"\ncreate_missing_queue_exchange_type = "topic"'));
  t.same(table.find('new'), { name: 'new', exchangeType: 'topic', arguments: { 'x-queue-type': 'quorum' } });
  t.throws(() => queueTableOf(load(t, '[task]\ncreate_missing_queues = false')).find('new'), { code: 'QUEUE_UNKNOWN' });
});

t.test('defaults of publishing', async (t) => {
  const toml =
    '[task]\ndefault_priority = 4\ndefault_delivery_mode = "transient"\npublish_retry = false\npublish_retry_policy = { max_retries = 1, interval_max = 2 }';
  t.match(routingParams(load(t, toml)), {
    defaultPriority: 4,
    defaultDeliveryMode: 1,
    retry: false,
    retryPolicy: { maxRetries: 1, intervalMax: 2 },
  });
  const patient = '[broker]\nurl = "amqp://h"\n[broker.transport_options]\nmax_retries = 20\ninterval_step = 1\n';
  t.match(routingParams(load(t, patient)).retryPolicy, { maxRetries: 20, intervalStep: 1 });
  const both = `${patient}[task]\npublish_retry_policy = { max_retries = 2 }`;
  t.match(routingParams(load(t, both)).retryPolicy, { maxRetries: 2, intervalStep: 1 }, 'what is said of tasks is stronger');
});

t.test('router modules', async (t) => {
  const folder = t.testdir({
    'router.ts':
      'export default ({ name }: { name: string }) => (name === "a" ? "q" : null);\nexport function mine() { return { priority: 3 }; }\nexport const no = 3;\n',
    'common.cjs': 'module.exports = { mine: () => "c" };\n',
    'broken.mjs': 'throw new Error("broken here");\n',
  });
  const asked = { name: 'a', id: 'i' } as TaskToRoute;
  const open = (file: string, name = 'default') => new ModuleRouter({ path: join(folder, file), exportName: name });
  const router = open('router.ts');
  t.throws(() => router.route(asked), { code: 'INTERNAL' });
  await router.load();
  t.same(router.route(asked), { queue: 'q' });
  t.equal(router.route({ ...asked, name: 'b' }), null);
  const [mine, common] = [open('router.ts', 'mine'), open('common.cjs', 'mine')];
  await Promise.all([mine.load(), common.load()]);
  t.same(mine.route(asked), { priority: 3 });
  t.same(common.route(asked), { queue: 'c' });
  await t.rejects(open('none.ts').load(), { code: 'ROUTER_FAILED', message: /must name router modules that are there, got .*none\.ts/ });
  await t.rejects(open('broken.mjs').load(), { code: 'ROUTER_FAILED', message: /did not load: broken here/ });
  await t.rejects(open('router.ts', 'no').load(), { code: 'ROUTER_FAILED', message: /must be an exported function, got number/ });
});
