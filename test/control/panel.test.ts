/** Commands with the requests captured from real Celery: the replies are those of Celery where they do not depend on its tasks. */
import t from 'tap';
import { noReply } from '../../src/control/command.ts';
import { errorText } from '../../src/control/command-failure.ts';
import { controlCommands } from '../../src/control/control-commands.ts';
import { inspectCommands } from '../../src/control/inspect-commands.ts';
import { Panel } from '../../src/control/panel.ts';
import { encodeJson } from '../../src/protocol/json.ts';
import { pythonText } from '../../src/std/python-repr.ts';
import { loadVectors } from '../protocol/vectors.ts';
import { FakeSurface, request } from './fake-surface.ts';

const panel = new Panel([...inspectCommands, ...controlCommands]);

interface Case {
  readonly name: string;
  readonly request: { readonly body_json: { readonly method: string; readonly arguments: Record<string, unknown> } };
  readonly replies: readonly { readonly body_json: Record<string, unknown> }[];
}

/** Cases whose reply says nothing about the tasks and settings of the worker it was captured from. */
const comparable = [
  'ping',
  'query-task-unknown',
  'hello',
  'hello-self',
  'revoke-one',
  'revoke-terminate-unknown',
  'terminate-unknown',
  'rate-limit',
  'rate-limit-off',
  'rate-limit-invalid',
  'rate-limit-unknown-task',
  'time-limit',
  'time-limit-unknown-task',
  'add-consumer',
  'add-consumer-topic',
  'cancel-consumer',
  'pool-grow',
  'pool-shrink',
  'pool-restart-disabled',
  'autoscale-disabled',
  'autoscale',
  'heartbeat',
  'unknown-command',
  'missing-argument',
  'unexpected-argument',
];

t.test('the replies of Celery', async (t) => {
  const cases = loadVectors(t, 'control-redis.json') as Case[] | null;
  if (cases === null) return;
  for (const name of comparable) {
    const { request: asked, replies } = cases.find((one) => one.name === name)!;
    const { method, arguments: args } = asked.body_json;
    const surface = new FakeSurface();
    const value = await panel.call(surface, method, args, () => {});
    const wanted = replies[0]!.body_json['worker1@example.com'];
    // The clock of the captured worker had seen more.
    const same = name === 'hello' ? { ...(wanted as object), clock: 1 } : wanted;
    t.strictSame(JSON.parse(encodeJson(value)), same, name);
  }
});

t.test('every method ever captured is known, but those that must not be', async (t) => {
  const cases = loadVectors(t, 'control-redis.json') as Case[] | null;
  if (cases === null) return;
  const unknown = new Set(['unknown-command', 'unexpected-argument']);
  for (const { name, request: asked } of cases) t.equal(panel.find(asked.body_json.method) === undefined, unknown.has(name), name);
});

t.test('registered: attributes that are set, sorted, built-in tasks when asked for', async (t) => {
  const call = (args: object) => panel.call(new FakeSurface(), 'registered', args as Record<string, unknown>, () => {});
  t.strictSame(await call({}), ['proj.limited [rate_limit=10/m]', 'proj.mul']);
  t.strictSame(await call({ taskinfoitems: ['acks_late', 'nothing'], builtins: true }), [
    'celery.map',
    'proj.limited [acks_late=True]',
    'proj.mul [acks_late=False]',
  ]);
});

t.test('what changes something is handed on as it was meant', async (t) => {
  const surface = new FakeSurface();
  const call = (method: string, args: object = {}) => panel.call(surface, method, args as Record<string, unknown>, () => {});
  t.strictSame(await call('terminate', { signal: 'KILL', task_id: request.id }), { ok: 'terminate: id-1' });
  t.strictSame(await call('revoke', { task_id: ['a', 'b'] }), { ok: 'tasks a, b flagged as revoked' });
  t.strictSame(await call('revoke_by_stamped_headers', { headers: { k: ['v', 'w'] } }), {
    ok: "headers {'k': ['v', 'w']} flagged as revoked, but not terminated",
  });
  t.strictSame(await call('revoke_by_stamped_headers', { headers: ['k=v'], terminate: true, signal: 9 }), {
    ok: "headers {'k': ['v']} revoked",
  });
  // Flower says true as 1.
  t.strictSame(await call('revoke', { task_id: request.id, terminate: 1, signal: 'SIGTERM' }), { ok: 'terminate: id-1' });
  t.strictSame(await call('revoke', { task_id: 'c', terminate: 0, signal: 'SIGTERM' }), { ok: 'tasks c flagged as revoked' });
  t.strictSame(await call('time_limit', { task_name: 'proj.a', hard: '60', soft: 30 }), { ok: 'time limits set successfully' });
  t.strictSame(await call('time_limit', { task_name: 'proj.a', hard: 3, soft: 3 }), {
    ok: 'time limits set successfully, but the soft one has no effect: it is not below the hard one',
  });
  await call('rate_limit', { task_name: 'proj.a', rate_limit: '5/h' });
  await call('add_consumer', { queue: 'q', exchange: null, exchange_type: 'topic', routing_key: 'a.#' });
  await call('pool_grow', { n: '2' });
  t.strictSame(surface.done, [
    ['revoke', ['id-1'], 'KILL'],
    ['revoke', ['a', 'b'], null],
    ['stamps', { k: ['v', 'w'] }, null],
    ['stamps', { k: ['v'] }, '9'],
    ['revoke', ['id-1'], 'SIGTERM'],
    ['revoke', ['c'], null],
    ['time', 'proj.a', 60, 30],
    ['time', 'proj.a', 3, 3],
    ['rate', 'proj.a', '5/h'],
    ['add', { queue: 'q', exchange: null, exchangeType: 'topic', routingKey: 'a.#' }],
    ['grow', 2],
  ]);
  t.equal(await call('shutdown'), noReply);
});

t.test('events: who can be switched says so', async (t) => {
  const surface = new FakeSurface();
  const call = (method: string) => panel.call(surface, method, {}, () => {});
  t.strictSame(await call('enable_events'), { error: 'event dispatcher unavailable' });
  surface.eventsOn = false;
  t.strictSame(await call('enable_events'), { ok: 'task events enabled' });
  t.strictSame(await call('disable_events'), { ok: 'task events already disabled' });
  surface.eventsOn = true;
  t.strictSame(await call('enable_events'), { ok: 'task events already enabled' });
  t.strictSame(await call('disable_events'), { ok: 'task events disabled' });
});

t.test('hello: times have a fraction, and ids of the other are taken over', async (t) => {
  const surface = new FakeSurface();
  const value = await panel.call(surface, 'hello', { from_node: 'other@example.com', revoked: { 'r-1': [12345.678, 'r-1'] } }, () => {});
  t.equal(encodeJson(value), '{"revoked":{"r-1":[12345.0,"r-1"]},"clock":1}');
});

t.test('bad arguments are errors in words, and heard of', async (t) => {
  const heard: unknown[] = [];
  const call = (method: string, args: object) =>
    panel.call(new FakeSurface(), method, args as Record<string, unknown>, (error) => heard.push(error));
  t.strictSame(await call('active_queues', { what: 1 }), {
    error: `TypeError("active_queues() got an unexpected keyword argument 'what'")`,
  });
  t.strictSame(await call('pool_grow', { n: 'many' }), { error: `ValueError("n must be a number, got 'many'")` });
  t.strictSame(await call('pool_grow', { n: -1 }), { error: "ValueError('n must be a whole number from 0, got -1')" });
  t.strictSame(await call('add_consumer', { queue: 3 }), { error: "TypeError('queue must be a text, got 3')" });
  t.strictSame(await call('time_limit', { hard: 1 }), {
    error: `TypeError("time_limit() missing 1 required positional argument: 'task_name'")`,
  });
  t.strictSame(await call('rate_limit', {}), {
    error: `TypeError("rate_limit() missing 2 required positional arguments: 'task_name' and 'rate_limit'")`,
  });
  t.strictSame(await call('revoke_by_stamped_headers', { headers: ['nothing'] }), {
    error: `ValueError("a stamp must be key=value, got 'nothing'")`,
  });
  const wrong: readonly (readonly [string, object, string])[] = [
    ['revoke', { task_id: { id: 'x' } }, `TypeError('task_id must be a text or a list of texts, got {"id":"x"}')`],
    ['terminate', { signal: 'TERM', task_id: [['x']] }, `TypeError('task_id must be a text or a list of texts, got ["x"]')`],
    ['query_task', { ids: [{}] }, "TypeError('ids must be a text or a list of texts, got {}')"],
    ['registered', { taskinfoitems: { name: 1 } }, `TypeError('taskinfoitems must be a text or a list of texts, got {"name":1}')`],
    ['revoke_by_stamped_headers', { headers: 3 }, "TypeError('headers must be an object or a list of key=value')"],
    ['revoke_by_stamped_headers', { headers: { a: [{}] } }, "TypeError('headers.a must be a text or a list of texts, got {}')"],
    ['pool_restart', { modules: [{}] }, "TypeError('modules must be a text or a list of texts, got {}')"],
    ['memdump', { samples: 'many' }, `ValueError("samples must be a number, got 'many'")`],
    ['memdump', { samples: null }, "ValueError('samples must be a whole number from 0, got null')"],
    ['hello', { from_node: 5 }, "TypeError('from_node must be a text, got 5')"],
    ['time_limit', { task_name: 'x', hard: 'long' }, `ValueError("hard must be a number, got 'long'")`],
    ['time_limit', { task_name: 'x', soft: -1 }, "ValueError('soft must be a number from 0, got -1')"],
    ['time_limit', { task_name: 7 }, "TypeError('task_name must be a text, got 7')"],
    ['rate_limit', { task_name: [], rate_limit: 1 }, "TypeError('task_name must be a text, got []')"],
    ['add_consumer', { queue: '' }, "ValueError('queue must not be empty')"],
    ['add_consumer', { queue: 'q', exchange_type: 1 }, "TypeError('exchange_type must be a text, got 1')"],
    ['cancel_consumer', { queue: null }, "TypeError('queue must be a text, got null')"],
    ['pool_shrink', { n: 1.5 }, "ValueError('n must be a whole number from 0, got 1.5')"],
    ['autoscale', { max: 'many' }, `ValueError("max must be a number, got 'many'")`],
    ['election', { id: 1, topic: 'task' }, "TypeError('id must be a text, got 1')"],
    ['heartbeat', { now: true }, `TypeError("heartbeat() got an unexpected keyword argument 'now'")`],
  ];
  for (const [method, args, error] of wrong) t.strictSame(await call(method, args), { error }, `${method} ${JSON.stringify(args)}`);
  t.strictSame(await call('rate_limit', { task_name: 'x', rate_limit: {} }), {
    error: "Invalid rate limit string: TypeError('a rate is a text or a number')",
  });
  t.equal(heard.length, 7 + wrong.length);
  t.strictSame(await call('ping', { what: 1 }), { ok: 'pong' }, 'most do not mind more than they know');
});

t.test('texts as Python shows them', async (t) => {
  t.equal(pythonText("it's"), `"it's"`);
  t.equal(pythonText(`it's "x"`), `'it\\'s "x"'`);
  t.equal(pythonText('a\n\\'), "'a\\n\\\\'");
  t.equal(errorText(new Error('boom')), "RuntimeError('boom')");
  t.equal(errorText('text'), "RuntimeError('text')");
});
