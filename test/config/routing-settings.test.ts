/** `[queues.NAME]` and `task.routes`: what is read, and what is refused at which line. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { parseToml } from '../../src/config/parse-toml.ts';
import type { Settings } from '../../src/config/settings-table.ts';
import { showConfig } from '../../src/config/show-config.ts';

const lines = (...given: readonly string[]): string => given.join('\n');

function load(t: Test, toml: string, env: NodeJS.ProcessEnv = {}): Settings {
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  return loadConfig({ flags: {}, env, cwd }).settings;
}

function refusal(t: Test, toml: string): string {
  try {
    load(t, toml);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

t.test('queues', async (t) => {
  const toml = lines(
    '[queues.video]',
    'exchange = "media"',
    'exchange_type = "topic"',
    'routing_key = "video.#"',
    'bindings = [{ exchange = "old", routing_key = "v" }, { exchange = "heads", exchange_type = "headers", arguments = { x-match = "any", kind = 3 } }]',
    'expires = 60',
    'max_priority = 10',
    'delivery_mode = "transient"',
    '[queues.video.queue_arguments]',
    'x-dead-letter-exchange = "dead"',
    '[queues."with.dot"]',
    '[queues.reload]',
    'broadcast = true',
  );
  const { task_queues: queues } = load(t, toml);
  t.same(queues, {
    video: {
      exchange: 'media',
      exchange_type: 'topic',
      routing_key: 'video.#',
      bindings: [
        { exchange: 'old', routing_key: 'v' },
        { exchange: 'heads', exchange_type: 'headers', arguments: { 'x-match': 'any', kind: 3 } },
      ],
      expires: 60,
      max_priority: 10,
      delivery_mode: 1,
      queue_arguments: { 'x-dead-letter-exchange': 'dead' },
    },
    'with.dot': {},
    reload: { broadcast: true },
  });
  t.same(load(t, '', { UMBEL_TASK_QUEUES: JSON.stringify(queues) }).task_queues, queues, 'as JSON too');
  t.same(load(t, '').task_queues, {});
});

t.test('what is shown can be read again', async (t) => {
  const cwd = t.testdir();
  const toml = lines(
    '[queues."a b".queue_arguments]',
    'x = [1, "two", { y = true }]',
    '[task]',
    'routes = [{ "mail.*" = { queue = "mail", retry_policy = { max_retries = 0 } } }, "/srv/r.ts:own"]',
  );
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  const config = loadConfig({ flags: {}, env: {}, cwd });
  const shown = showConfig(config, { origin: false });
  writeFileSync(join(cwd, 'umbel.toml'), shown);
  t.ok(parseToml(shown));
  const again = loadConfig({ flags: {}, env: {}, cwd }).settings;
  t.same(again.task_queues, config.settings.task_queues);
  t.same(again.task_routes, config.settings.task_routes);
});

t.test('queues that are refused, each at its line', async (t) => {
  const rows: readonly (readonly [string, readonly string[], string])[] = [
    ['unknown key', ['exchnge = "x"'], 'queues.q.exchnge is not known; did you mean exchange? (umbel.toml:3)'],
    [
      'wrong value',
      ['exchange_type = "star"'],
      "queues.q.exchange_type must be 'direct', 'topic', 'fanout' or 'headers', got \"star\" (umbel.toml:3)",
    ],
    ['zero', ['expires = 0'], 'queues.q.expires must be a number of seconds above 0, got 0 (umbel.toml:3)'],
    ['priority', ['max_priority = 256'], 'queues.q.max_priority must be an integer from 1 to 255, got 256 (umbel.toml:3)'],
    ['binding', ['bindings = [', '{ routing_key = "x" } ]'], 'queues.q.bindings[0] must have an exchange (umbel.toml:4)'],
    [
      'date',
      ['queue_arguments = { x = 2026-01-01T00:00:00Z }'],
      'queues.q.queue_arguments.x must be a text, a number, a boolean, a list or a table (umbel.toml:3)',
    ],
    [
      'broadcast and type',
      ['broadcast = true', 'exchange_type = "topic"'],
      "queues.q.exchange_type must be left out or 'fanout' where broadcast is true, got 'topic' (umbel.toml:4)",
    ],
    [
      'broadcast and no_declare',
      ['broadcast = true', 'no_declare = true'],
      'queues.q.no_declare cannot stand beside broadcast: each worker declares a queue of its own (umbel.toml:4)',
    ],
    [
      'no exchange',
      ['exchange = ""', 'routing_key = "x"'],
      'queues.q.routing_key cannot stand beside exchange = "": there is no binding of its own (umbel.toml:4)',
    ],
    [
      'twice',
      ['max_length = 3', 'queue_arguments = { x-max-length = 3 }'],
      'queues.q.queue_arguments.x-max-length says the same as the key max_length; one of them must go (umbel.toml:4)',
    ],
    [
      'quorum',
      ['durable = false', 'queue_arguments = { x-queue-type = "quorum" }'],
      'queues.q.durable cannot be false for a quorum queue (umbel.toml:3)',
    ],
    [
      'quorum and priority',
      ['max_priority = 3', 'queue_arguments = { x-queue-type = "quorum" }'],
      'queues.q.max_priority cannot stand here: quorum queues have no x-max-priority (umbel.toml:3)',
    ],
    [
      'two types',
      ['exchange = "e"', 'exchange_type = "topic"', '[queues.r]', 'exchange = "e"', 'exchange_type = "direct"'],
      "queues.r.exchange_type must be 'topic' as queue q says of the exchange \"e\", got 'direct' (umbel.toml:7)",
    ],
  ];
  for (const [title, given, expected] of rows) t.equal(refusal(t, lines('# queues', '[queues.q]', ...given)), expected, title);
  const nameless = refusal(t, lines('[queues.""]', '[queues.q]', 'exchnge = "x"'));
  t.match(nameless, /queues must have a name for each queue, got an empty one/);
  t.match(nameless, /queues\.q\.exchnge is not known/, 'and what is wrong with the others is said as well');
  t.match(refusal(t, '[queue.x]\n'), /\[queue\] is not a section; did you mean \[queues\]\? \(umbel\.toml:1\)/);
  t.match(refusal(t, 'queues = ["a"]\n'), /queues must be a table for each queue, \[queues\.NAME\], got \["a"\] \(umbel\.toml:1\)/);
  t.match(refusal(t, '[task.queues.x]\n'), /task\.queues is not a setting; did you mean queues\?/);
});

t.test('routes', async (t) => {
  const toml = lines(
    '[task.routes]',
    '"mail.send" = "mail"',
    '"feeds.*" = { queue = "feeds", priority = 3, delivery_mode = 1 }',
    '"/(video|image)\\\\..*/" = { exchange = "media", exchange_type = "topic", routing_key = "m" }',
  );
  t.same(load(t, toml).task_routes, [
    [
      ['mail.send', { queue: 'mail' }],
      ['feeds.*', { queue: 'feeds', priority: 3, delivery_mode: 1 }],
      ['/(video|image)\\..*/', { exchange: 'media', exchange_type: 'topic', routing_key: 'm' }],
    ],
  ]);
  const list = lines('[task]', 'routes = ["router.ts:mine", { a = "q" }, [["b*", "r"], ["*", { queue = "s" }]]]');
  const [module, map, pairs] = load(t, list).task_routes;
  t.match(module, /^\/.*\/router\.ts:mine$/, 'relative to the folder of the file');
  t.same(map, [['a', { queue: 'q' }]]);
  t.same(pairs, [
    ['b*', { queue: 'r' }],
    ['*', { queue: 's' }],
  ]);
  t.match(load(t, '[task]\nroutes = "r.js"\n').task_routes[0], /\/r\.js$/);
  t.same(load(t, '', { UMBEL_TASK_ROUTES: '{"a": "q"}' }).task_routes, [[['a', { queue: 'q' }]]]);
  t.same(load(t, '[[task.routes]]\n"a" = "q"\n[[task.routes]]\n"*" = "r"\n').task_routes, [
    [['a', { queue: 'q' }]],
    [['*', { queue: 'r' }]],
  ]);
});

t.test('routes that are refused, each at its line', async (t) => {
  const rows: readonly (readonly [string, string, RegExp])[] = [
    ['no key', '[task.routes]\n"a.*" = { queu = "x" }', /task\.routes\."a\.\*"\.queu is not known; did you mean queue\? \(umbel\.toml:2\)/],
    [
      'value',
      '[task.routes]\na = { priority = 300 }',
      /task\.routes\.a\.priority must be an integer from 0 to 255, got 300 \(umbel\.toml:2\)/,
    ],
    ['not a route', '[task.routes]\na = 3', /task\.routes\.a must be the name of a queue or a table of queue, .* got 3 \(umbel\.toml:2\)/],
    [
      'expression',
      '[task.routes]\n"/(/" = "x"',
      /task\.routes\."\/\(\/" must be a regular expression between its slashes, got \/\(\/: .*nterminated group/,
    ],
    [
      'dots',
      '[task.routes]\nmail.send = { queue = "x" }',
      /task\.routes\.mail has no key send; a task name with dots stands in quotes: "mail\.send"/,
    ],
    [
      'module',
      '[task]\nroutes = "my.router"',
      /task\.routes must be the file of a router module \(router\.ts, or router\.ts:name\), got "my\.router" \(umbel\.toml:2\)/,
    ],
    [
      'pair',
      '[task]\nroutes = [\n{ a = "b" },\n[["a"]]\n]',
      /task\.routes\[1\]\[0\] must be a pair of a task name and a route, got \["a"\] \(umbel\.toml:4\)/,
    ],
    ['twice', '[task]\nroutes = [[["a", "b"], ["a", "c"]]]', /must name a once, got it twice/],
  ];
  for (const [title, toml, expected] of rows) t.match(refusal(t, toml), expected, title);
});
