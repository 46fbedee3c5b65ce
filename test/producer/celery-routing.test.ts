/** The same calls, routes and queues go to the same exchange with the same key as with Python Celery; where not, on purpose, it says so. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { routingParams } from '../../src/node/routing-params.ts';
import { Producer, type Route } from '../../src/producer/producer.ts';
import { deliveryOf, Recorder, RecordingBroker } from '../consumer/doubles.ts';

interface Case {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly task: string;
  readonly options: Readonly<Record<string, unknown>>;
}

interface Sent {
  readonly exchange: string;
  readonly routing_key: string;
  readonly delivery_mode: number;
  readonly priority: number;
}

/** Publishes each case through app.send_task with a producer that writes down. Regular expressions come as {"regex": ...} pairs. */
const python = `
import json, re, sys
from celery import Celery
from kombu import Queue, Exchange
from kombu.common import Broadcast

def queue(name, q):
    if q.get('broadcast'):
        return Broadcast(name)
    return Queue.from_dict(name, exchange=q.get('exchange'), exchange_type=q.get('exchange_type'),
                           routing_key=q.get('routing_key') or name, delivery_mode=q.get('delivery_mode'))

def key(pattern):
    return re.compile(pattern[1:-1]) if pattern.startswith('/') else pattern

out = []
for case in json.load(sys.stdin):
    settings = dict(case['settings'])
    app = Celery('x', broker='memory://', backend=None, set_as_current=False)
    queues = settings.pop('queues', None)
    routes = settings.pop('routes', None)
    app.conf.update({'task_' + name: value for name, value in settings.items()})
    if queues:
        app.conf.task_queues = [queue(name, q) for name, q in queues.items()]
    if routes:
        app.conf.task_routes = [[(key(pattern), route) for pattern, route in router.items()] for router in routes]
    sent = {}
    class Producer:
        class connection:
            class transport:
                driver_type = 'memory'
            @staticmethod
            def _reraise_as_library_errors():
                import contextlib
                return contextlib.nullcontext()
        def publish(self, body, exchange=None, routing_key=None, delivery_mode=None, priority=None, **more):
            sent.update(exchange=getattr(exchange, 'name', exchange), routing_key=routing_key or '',
                        delivery_mode={'transient': 1, 'persistent': 2}.get(delivery_mode, delivery_mode), priority=priority or 0)
    app.send_task(case['task'], (), producer=Producer(), **case['options'])
    out.append(sent)
print(json.dumps(out))
`;

async function askPython(cases: readonly Case[]): Promise<readonly Sent[]> {
  const asked = promisify(execFile)('/usr/bin/python3', ['-c', python], { maxBuffer: 2 ** 24 });
  asked.child.stdin?.end(JSON.stringify(cases));
  return JSON.parse((await asked).stdout) as Sent[];
}

async function ask(t: Test, { settings, task, options }: Case): Promise<Sent> {
  const { queues, ...rest } = settings;
  const env: Record<string, string> = {};
  if (queues !== undefined) env.UMBEL_TASK_QUEUES = JSON.stringify(queues);
  for (const [name, value] of Object.entries(rest))
    env[`UMBEL_TASK_${name.toUpperCase()}`] = typeof value === 'string' ? value : JSON.stringify(value);
  const config = loadConfig({ flags: {}, env, cwd: emptyFolder(t) });
  const broker = new RecordingBroker(new Recorder());
  const producer = new Producer({ broker, ...routingParams(config.settings) });
  const { exchange_type: exchangeType, routing_key: routingKey, delivery_mode: deliveryMode, ...same } = options;
  const route = { ...same, exchangeType, routingKey, deliveryMode } as Route;
  await producer.publish(deliveryOf({}), { taskName: task, taskId: 'i', route, dueAtMs: null });
  const [sent] = broker.published;
  return {
    exchange: sent!.destination.exchange,
    routing_key: sent!.destination.routingKey,
    delivery_mode: sent!.message.properties.deliveryMode!,
    priority: sent!.message.properties.priority ?? 0,
  };
}

let folder: string | undefined;
function emptyFolder(t: Test): string {
  folder ??= t.testdir();
  writeFileSync(join(folder, 'umbel.toml'), '');
  return folder;
}

const topics = {
  default_exchange: 'tasks',
  default_exchange_type: 'topic',
  default_routing_key: 'task.default',
  default_queue: 'default',
  queues: { default: { routing_key: 'task.#' }, feed: { routing_key: 'feed.#' }, mail: { exchange: 'mail', routing_key: 'm' } },
};
const mixed = {
  queues: {
    celery: {},
    video: { exchange: 'video', exchange_type: 'topic', routing_key: 'video.#', delivery_mode: 1 },
    reload: { broadcast: true },
    heads: { exchange: 'heads', exchange_type: 'headers' },
  },
};
const routes = [
  {
    'feeds.*': { queue: 'feed' },
    'feeds.import': 'mail',
    '/(video|image)\\.tasks\\./': { queue: 'video', routing_key: 'video.compress', priority: 5 },
    'news.[ab]*': 'news-ab',
    'news.?*': { queue: 'news', delivery_mode: 1 },
  },
  { '*': { queue: 'rest', priority: 2 } },
];

const settingsOf: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  nothing: {},
  'other default': { default_queue: 'mine', default_exchange: 'ex', default_routing_key: 'rk', default_delivery_mode: 'transient' },
  topics,
  mixed,
  'topics and routes': { ...topics, routes },
  'mixed and routes': { ...mixed, routes },
  'routes to a broadcast': { ...mixed, routes: [{ 'tasks.reload': { queue: 'reload', exchange: 'reload' } }] },
  'a route with nothing in it': { routes: [{ 'feeds.*': {} }] },
};
const tasks = ['tasks.add', 'feeds.import', 'feeds.other', 'video.tasks.x', 'image.tasks.y', 'news.apple', 'news.cherry', 'tasks.reload'];
const optionSets: readonly Readonly<Record<string, unknown>>[] = [
  {},
  { queue: 'x' },
  { queue: 'video' },
  { queue: 'video', routing_key: 'video.small' },
  { queue: 'feed', priority: 9 },
  { queue: 'reload' },
  { queue: 'heads' },
  { exchange: 'other', routing_key: 'k' },
  { exchange: 'other', routing_key: 'k', exchange_type: 'topic' },
  { exchange: 'video', routing_key: 'video.k' },
  { queue: 'celery', exchange: 'other', routing_key: 'k' },
  { routing_key: 'k' },
  { exchange: 'other' },
  { exchange: 'other', exchange_type: 'topic' },
  { exchange: 'reload' },
  { priority: 3, delivery_mode: 1 },
];

/** Celery sends broadcasts that are routed by their exchange with no key, which on Redis reaches none of its own workers. */
const broadcastByRoute = ({ settings, task }: Case): boolean => settings === settingsOf['routes to a broadcast'] && task === 'tasks.reload';
/** Celery mixes the queue of the call with exchange and key of the route; here who names a queue gets it. */
const namesQueueAgainstRoute = ({ settings, options, task }: Case): boolean =>
  settings.routes !== undefined && options.queue !== undefined && options.routing_key === undefined && /^(video|image)\.|reload/.test(task);
/** Celery passes over a named exchange without a key; here an exchange that is declared and not direct gets the message. */
const exchangeAlone = ({ options }: Case): boolean => options.exchange === 'reload' && options.routing_key === undefined;

t.test('as Celery', async (t) => {
  const cases: Case[] = [];
  for (const settings of Object.values(settingsOf))
    for (const task of tasks) for (const options of optionSets) cases.push({ settings, task, options });
  const expected = await askPython(cases);
  let compared = 0;
  for (const [index, one] of cases.entries()) {
    if (namesQueueAgainstRoute(one) || exchangeAlone(one) || broadcastByRoute(one)) continue;
    const sent = await ask(t, one);
    compared += 1;
    const title = `${Object.keys(settingsOf).find((name) => settingsOf[name] === one.settings)}: ${one.task} ${JSON.stringify(one.options)}`;
    t.strictSame(sent, expected[index], title);
  }
  const alone = await ask(t, { settings: mixed, task: 'tasks.add', options: { exchange: 'reload' } });
  t.match(alone, { exchange: 'reload', routing_key: 'celery' });
  const routed = await ask(t, { settings: settingsOf['routes to a broadcast']!, task: 'tasks.reload', options: {} });
  t.match(routed, { exchange: 'reload', routing_key: 'celery' });
  const named = await ask(t, { settings: { ...mixed, routes }, task: 'video.tasks.x', options: { queue: 'celery' } });
  t.match(named, { exchange: '', routing_key: 'celery', priority: 5 });
  const elsewhere = [{ 'tasks.*': { queue: 'heads', exchange: 'video', exchange_type: 'topic', routing_key: 'video.x' } }];
  const chosen = await ask(t, { settings: { ...mixed, routes: elsewhere }, task: 'tasks.add', options: { queue: 'celery' } });
  t.match(chosen, { exchange: '', routing_key: 'celery' }, 'the exchange of a route does not go with the queue of a call');
  t.ok(compared > 0.85 * cases.length, `${compared} of ${cases.length}`);
});
