/** What `new App(…)` takes: queues and routes as lists and as tables, and whatever is wrong is said with its place. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type AppOptions, queuesOf, routersOf } from '../../src/client/app-options.ts';
import { App } from '../../src/client/umbel.ts';
import type { TaskToRoute } from '../../src/producer/router.ts';

function app(t: Test, options: unknown): App {
  const broker = `sqlite:///${join(t.testdir(), 'umbel.db')}`;
  return new App({ broker, ...(options as AppOptions) });
}

/** What the first router with an answer says of a task. */
function routeOf(routes: unknown, name: string): unknown {
  for (const router of routersOf({ routes } as AppOptions)) {
    const route = router.route({ name } as TaskToRoute);
    if (route !== null) return route;
  }
  return null;
}

t.test('queues in a list and in a table are the same', async (t) => {
  const media = { exchange: 'media', exchangeType: 'topic', routingKey: 'video.#', arguments: { 'x-max-priority': 9 } } as const;
  const wanted = [{ name: 'mail' }, { name: 'video', ...media }];
  t.strictSame(queuesOf({ queues: [{ name: 'mail' }, { name: 'video', ...media }] }), wanted);
  t.strictSame(queuesOf({ queues: { mail: {}, video: media } }), wanted);
  t.strictSame(queuesOf({}), []);
});

t.test('a broadcast needs no more than that it is one, as in TOML', async (t) => {
  t.match(queuesOf({ queues: { reload: { broadcast: true } }, defaultQueue: 'jobs' }), [
    { name: 'reload', broadcast: true, exchangeType: 'fanout', routingKey: 'jobs' },
  ]);
  t.match(queuesOf({ queues: [{ name: 'reload', broadcast: true, routingKey: 'k' }] }), [{ exchangeType: 'fanout', routingKey: 'k' }]);
});

t.test('routes: a table, a function, pairs, or a list of them', async (t) => {
  const table = { 'mail.*': 'mail', 'mail.send': { queue: 'send', priority: 5 } };
  for (const routes of [table, [table], Object.entries(table), [Object.entries(table)], [() => null, table]]) {
    t.strictSame(routeOf(routes, 'mail.other'), { queue: 'mail' });
    t.strictSame(routeOf(routes, 'mail.send'), { queue: 'send', priority: 5 });
    t.equal(routeOf(routes, 'other'), null);
  }
  t.strictSame(
    routeOf(({ name }: TaskToRoute) => `for-${name}`, 'a'),
    { queue: 'for-a' },
  );
  t.equal(routeOf(undefined, 'a'), null);
});

t.test('a call goes where the tables of its App say', async (t) => {
  const shop = app(t, {
    queues: { video: { exchange: 'media', exchangeType: 'topic', routingKey: 'video.#' } },
    routes: { 'video.*': 'video' },
  });
  await shop.start();
  t.teardown(() => shop.stop());
  await shop.call({ task: 'video.cut', args: [], kwargs: {}, options: {} });
  await shop.call({ task: 'other', args: [], kwargs: {}, options: {} });
  t.strictSame([await shop.broker.countReady('video'), await shop.broker.countReady('celery')], [1, 1]);
});

t.test('what is wrong is said, with its place and value', async (t) => {
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [{ brokr: 'redis://' }, /^new App\(\): brokr is not an option; the options are broker, .*, got 'redis:\/\/'$/],
    [{ brokerUrl: 'redis://:secret@h' }, /^new App\(\): brokerUrl is not an option; .*, got 'redis:\/\/:\*\*@h'$/],
    [{ broker: 5 }, /^new App\(\): broker must be a non-empty string, got 5$/],
    [{ backend: null }, /^new App\(\): backend must be a non-empty string, got null$/],
    [{ tasks: 'tasks.ts' }, /^new App\(\): tasks must be an array of paths, got 'tasks.ts'$/],
    [{ sendSentEvent: 'yes' }, /^new App\(\): sendSentEvent must be a boolean, got 'yes'$/],
    [{ queues: 'mail' }, /^new App\(\): queues must be an array, or an object from names to queues, got 'mail'$/],
    [{ queues: new Map([['mail', {}]]) }, /queues must be an array, or an object .*, got Map/],
    [{ queues: ['mail'] }, /^new App\(\): queues\[0\] must be a plain object, got 'mail'$/],
    [{ queues: [{ exchange: 'x' }] }, /^new App\(\): the name of queues\[0\] must be a non-empty string, got undefined$/],
    [{ queues: [{ name: 'a' }, { name: 'a' }] }, /^new App\(\): the name of queues\[1\] must be that of one queue, got 'a'$/],
    [{ queues: { mail: { name: 'other' } } }, /^new App\(\), queues.mail: name is not an option; /],
    [{ queues: { mail: { routing_key: 'k' } } }, /^new App\(\), queues.mail: routing_key is not an option; .* routingKey,/],
    [{ queues: { mail: { exchangeType: 'topics' } } }, /^new App\(\), queues.mail: exchangeType must be direct, topic, .*, got 'topics'$/],
    [
      { queues: { mail: { bindings: [{ routingKey: 'k' }] } } },
      /: queues.mail.bindings\[0\].exchange must be a non-empty string, got undefined$/,
    ],
    [{ queues: { mail: { bindings: [{ exchange: 'e', key: 1 }] } } }, /, queues.mail.bindings\[0\]: key is not an option;/],
    [
      { queues: { all: { broadcast: true, exchangeType: 'topic' } } },
      /queues.all.exchangeType must be left out or fanout where .*, got 'topic'$/,
    ],
    [{ routes: 'router.ts' }, /^new App\(\): routes must be a function, an object from task names to routes or .*, got 'router.ts'$/],
    [{ routes: ['router.ts'] }, /^new App\(\): routes\[0\] must be a function, .*, got 'router.ts'$/],
    [{ routes: [undefined] }, /^new App\(\): routes\[0\] must be a function, .*, got undefined$/],
    [{ routes: [['mail.*', 'mail'], 'a'] }, /^new App\(\): routes\[0\] must be a function, .* pairs, got \[ 'mail\.\*', 'mail' \]$/],
    [{ routes: { a: { quue: 'b' } } }, /^new App\(\): routes: the route of a has an option quue, which is none; did you mean queue\?$/],
    [
      { routes: [{ a: 'b' }, { '/(/': 'c' }] },
      /^new App\(\): routes\[1\]: the pattern \/\(\/ must be a regular expression between its slashes: /,
    ],
    [{ routes: { a: { retryPolicy: { max_retries: 3 } } } }, /route of a has a retryPolicy that must be an object of maxRetries, .*, got /],
    [{ routes: { a: { retryPolicy: { maxRetries: -1 } } } }, /route of a has a retryPolicy that must be /],
  ];
  for (const [options, message] of rows) t.throws(() => app(t, options), { code: 'TASK_OPTION_INVALID', message });
  for (const options of ['redis://', null, new Map()])
    t.throws(() => new App(options as AppOptions), {
      code: 'TASK_OPTION_INVALID',
      message: /^new App\(\): options must be a plain object, got /,
    });
});
