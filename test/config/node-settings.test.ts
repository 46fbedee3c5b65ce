/** `[node.NAME]`: which worker takes which table, and what is stronger. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { showConfig } from '../../src/config/show-config.ts';

const cwd = mkdtempSync(join(tmpdir(), 'umbel-nodes-'));
t.teardown(() => rmSync(cwd, { recursive: true, force: true }));

function load(toml: string, node: string | null, more: { env?: NodeJS.ProcessEnv; flags?: Record<string, unknown> } = {}) {
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  const flags = { ...(node === null ? {} : { worker_hostname: node }), ...more.flags };
  return loadConfig({ flags, env: { HOME: cwd, ...more.env }, cwd });
}

const toml = `[worker]
concurrency = 2
[node.w1]
concurrency = 4
pidfile = "run/%n.pid"
[node.w2]
queues = ["mail"]
[node."w1@other"]
concurrency = 8
`;

t.test('a worker takes the table of its name', async (t) => {
  const concurrency = (node: string | null): unknown => load(toml, node).settings.worker_concurrency;
  t.equal(concurrency('w1@%h'), 4);
  t.equal(concurrency('w1@'), 4);
  t.equal(concurrency('w1@somewhere'), 4);
  t.equal(concurrency('w1@other'), 8, 'the whole name is stronger');
  t.equal(concurrency('w2@x'), 2);
  t.equal(concurrency('w1'), 2, 'that is celery@w1');
  t.equal(concurrency(null), 2);
  t.equal(load(`[node.celery]\nconcurrency = 3\n`, null).settings.worker_concurrency, 3, 'the default name');
  t.equal(
    load(`[worker]\nhostname = "w1@h"\n${toml.slice('[worker]\n'.length)}`, null).settings.worker_concurrency,
    4,
    'a name from the file',
  );
  t.same(load(toml, 'w2@x').settings.worker_queues, ['mail']);
  t.same(load(`[node."w9@${hostname()}"]\nconcurrency = 5\n`, 'w9@').settings.worker_concurrency, 5);
});

t.test('where a value comes from, and what is stronger', async (t) => {
  const config = load(toml, 'w1@x');
  t.equal(config.origin('worker_concurrency').text, 'umbel.toml:4');
  t.equal(config.settings.worker_pidfile, join(cwd, 'run/%n.pid'), 'relative to the file');
  t.equal(load(toml, 'w1@x', { env: { UMBEL_WORKER_CONCURRENCY: '6' } }).settings.worker_concurrency, 6);
  t.equal(load(toml, 'w1@x', { flags: { worker_concurrency: '7' } }).settings.worker_concurrency, 7);
  t.equal(load('', 'w1@x', { env: { UMBEL_WORKER_NODES: '{"w1":{"concurrency":9}}' } }).settings.worker_concurrency, 9);
  t.same(Object.keys(config.settings.worker_nodes), ['w1', 'w2', 'w1@other']);
  t.match(showConfig(config, { origin: false }), /^node = \{.*w1 = \{ ?concurrency = 4/m);
});

t.test('refuses', async (t) => {
  for (const [bad, pattern] of [
    ['[node.w1]\nconcurency = 4\n', /node\.w1\.concurency is not known; did you mean concurrency\? \(umbel\.toml:2\)/],
    ['[node.w1]\nconcurrency = 0\n', /node\.w1\.concurrency must be a positive integer, got 0 \(umbel\.toml:2\)/],
    ['[node.w1]\nhostname = "x"\n', /the name of the table is the name of the node/],
    ['[node]\nw1 = 4\n', /node\.w1 must be a table, got 4/],
    ['[node."a b"]\n', /names like w1 or w1@host/],
    ['node = 1\n', /node must be a table for each node/],
    ['[nodes.w1]\n', /did you mean \[node\]/],
  ] as const)
    t.throws(() => load(bad, null), { message: pattern }, bad);
});
