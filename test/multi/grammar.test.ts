/** The grammar of `umbel multi` against what real `celery multi` prints (celery-multi-lines.json, made by record-celery-multi.py). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { NodeFiles } from '../../src/multi/multi-node.ts';
import { runMulti } from '../../src/multi/multi-tool.ts';
import { splitShellWords } from '../../src/multi/shell-words.ts';

interface Recorded {
  readonly line: string;
  readonly status: number;
  readonly stdout: string;
}

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'celery-multi-lines.json'), 'utf8')) as Recorded[];
const noFiles = (): NodeFiles => ({ pidfile: '/var/run/umbel/%n.pid', logfile: '/var/log/umbel/%n%I.log' });

async function ran(
  words: readonly string[],
  { script = [] as readonly string[], declared = [] as readonly string[], files = noFiles } = {},
) {
  let stdout = '';
  let stderr = '';
  const status = await runMulti({
    words,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    color: false,
    version: '1.2.3',
    hostname: 'box.example.com',
    program: { executable: '/usr/bin/umbel', script },
    declared: () => declared,
    files,
    folder: () => '/work',
    owner: () => ({ user: null, group: null }),
    known: [
      { names: ['-E', '--task-events'], takesValue: false },
      { names: ['-c', '--concurrency'], takesValue: true },
      { names: ['-Q', '--queues'], takesValue: true },
    ],
    env: {},
  });
  return { status, stdout, stderr };
}

/** Celery's program is Python with a module; ours is itself. A line of Celery ends in a blank. */
function asOurs(text: string): string {
  return text
    .replaceAll('/usr/bin/python3 -m celery ', '/usr/bin/umbel ')
    .replaceAll(/^-m celery /gm, '')
    .replaceAll('--executable=/usr/bin/python3', '--executable=/usr/bin/umbel')
    .replaceAll(/ +$/gm, '')
    .replaceAll('  ', ' ');
}

t.test('prints what Celery prints', async (t) => {
  t.ok(recorded.length >= 40, 'there are enough lines');
  for (const { line, stdout, status } of recorded) {
    const words = splitShellWords(line.replace('-m celery -A x worker', '-A x worker'));
    t.same(await ran(words), { status, stdout: asOurs(stdout).replaceAll('/opt/py -m celery ', '/opt/py '), stderr: '' }, line);
  }
});

t.test('means what Celery ignores', async (t) => {
  const own = async (line: string) => (await ran(splitShellWords(`show ${line} --pidfile=p --logfile=l`))).stdout.match(/-c \d+/g);
  t.same(await own('a b c -c 1 -c:1-2 5'), ['-c 5', '-c 5', '-c 1'], 'numbers of named nodes may be a range');
  t.same(await own('a b c -c 1 -c:1,3 5'), ['-c 5', '-c 1', '-c 5'], 'and a list');
  t.same(await own('2 -c 1 -c:celery2 5'), ['-c 1', '-c 5'], 'a node of a range has a name');
  t.same(await own('5 --range-prefix=w -c 1 -c:w2 4 -c:4,5 2'), ['-c 1', '-c 4', '-c 1', '-c 2', '-c 2']);
});

t.test('words that a shell would split are quoted, and started whole', async (t) => {
  const { stdout } = await ran(['show', 'a', '--pidfile=/p d/x', '--logfile=l']);
  t.equal(stdout, "/usr/bin/umbel worker --detach '--pidfile=/p d/x' --logfile=l -n a@box.example.com --executable=/usr/bin/umbel\n");
  t.same(splitShellWords(stdout)[3], '--pidfile=/p d/x');
  const fromSource = await ran(['show', 'a', '--pidfile=p', '--logfile=l', '-A', 't.ts'], { script: ['src/main.ts'] });
  t.equal(fromSource.stdout, '/usr/bin/umbel src/main.ts -A t.ts worker --detach --pidfile=p --logfile=l -n a@box.example.com\n');
});

t.test('nodes that are declared, and default files', async (t) => {
  t.equal((await ran(['names'], { declared: ['w1', 'w2@other'] })).stdout, 'w1@box.example.com\nw2@other\n');
  t.equal((await ran(['names', 'x'], { declared: ['w1'] })).stdout, 'x@box.example.com\n', 'names on the line are stronger');
  t.equal(
    (await ran(['get', 'w1@box.example.com'], { declared: ['w1'] })).stdout,
    'worker --detach -n w1@box.example.com --pidfile=/var/run/umbel/w1.pid --logfile=/var/log/umbel/w1%I.log --executable=/usr/bin/umbel\n',
  );
  t.equal((await ran(['get', 'nobody', 'a'])).status, 1);
});

t.test('who names the pid file stops a node also when the configuration is broken', async (t) => {
  const files = (): NodeFiles => {
    throw new Error('broken configuration');
  };
  const pidfile = '--pidfile=/nowhere/%n.pid';
  for (const command of ['stop', 'stopwait', 'kill'])
    t.match(await ran([command, 'w1', pidfile], { files }), { status: 0, stdout: /> w1@box\.example\.com: DOWN/ }, command);
  t.equal((await ran(['expand', '/nowhere/%n', 'w1'], { files })).stdout, '/nowhere/w1\n');
  for (const command of ['start', 'restart']) await t.rejects(ran([command, 'w1', pidfile], { files }), /broken configuration/, command);
  await t.rejects(ran(['stop', 'w1'], { files }), /broken configuration/, 'where it has to be asked');
});

t.test('refuses what means nothing', async (t) => {
  for (const [line, pattern] of [
    ['names a -c:0 1', /start at 1, got 0/],
    ['names a -c:2 1', /not be above 1, the number of nodes, got 2/],
    ['names a -', /an option must be/],
    ['names a -c:x:y 1', /an option must be/],
    ['names a -c: 1', /an option must be/],
    ['names a@%z', /only .* can be used in a node name, got %z/],
    ['expand %z a', /only .* can be used in umbel multi, got %z/],
    ['expand', /needs a template/],
    ['get', /needs the name/],
    ['start a --rolling', /--rolling is for restart, got start/],
    ['stop a --rolling', /--rolling is for restart, got stop/],
    ['stop a -SIGFOO', /a signal must be one of this system, got -SIGFOO/],
    ['names 99999999', /not be above 10000/],
  ] as const)
    await t.rejects(ran(line.split(' ')), { message: pattern }, line);
});

t.test('refuses a name that an option would take, and a value that would become a name', async (t) => {
  const refused = (line: string, message: RegExp) =>
    t.rejects(ran(line.split(' '), { declared: ['w1', 'w2@other'] }), { code: 'USAGE', message }, line);
  for (const command of ['start', 'restart', 'stop', 'stopwait', 'stop_verify', 'kill']) {
    await refused(`${command} -E w1`, /names must stand before -E, got -E w1/);
    await refused(`${command} -E w3 w1`, /got -E w3/);
    await refused(`${command} -E:w1 w1`, /got -E:w1 w1/);
    await refused(`${command} -c4 w1`, /must stand before -c4, got -c4 w1/);
    await refused(`${command} -Q w1`, /for all declared nodes, .*got -Q w1: .*before the options, or --queues=w1 if/);
    await refused(`${command} -X w2`, /got -X w2: write names before the options \(/);
    await refused(`${command} -n w9`, /-n does not name one, got -n w9: write w9 without -n, or --hostname=w9 if/);
    await refused(`${command} -n`, /got -n without a value/);
    await refused(`${command} -Q:w9 mail`, /must be for one of them \(w1, w2@other\), got one for w9/);
    await refused(`${command} --queues:w1,w9=mail`, /got one for w9/);
    await refused(`${command} w1 jobs/tasks.ts`, /must not contain \/, got jobs\/tasks\.ts; task modules stand after -A/);
  }
  for (const command of ['start', 'restart']) {
    await refused(`${command} w1 --concurrency 4`, /got --concurrency 4: 4 would be a node; write --concurrency=4/);
    await refused(`${command} w1 --concurrency:w1 4`, /write --concurrency:w1=4/);
  }
  // The pid files are those of nobody.
  const files = '--pidfile=/nowhere/%n.pid --logfile=/nowhere/%n.log';
  for (const [line, nodes] of [
    ['stop -c 4', 'w1 w2'],
    ['stop -Q:w1 w1', 'w1 w2'],
    ['stop w1 -Q w1', 'w1'],
    ['stop w1 -E -c 4', 'w1'],
    ['stop --task-events w1', 'w1'],
    ['stop w1 --concurrency 4', 'w1 4'],
    ['stop w1 --cmd=other -E w2', 'w1'],
    ['stop w1 -- -E w2', 'w1'],
    ['stop w1 -n host', 'w1'],
    ['stop --hostname=host', 'w1 w2'],
    ['stop w1 -Q:w9 mail', 'w1'],
    ['stop -Q:w1@box.example.com,w2 mail', 'w1 w2'],
    ['stop -Q:1-2 mail', 'w1 w2'],
  ] as const) {
    const { stdout } = await ran([...line.split(' ').slice(0, 1), ...files.split(' '), ...line.split(' ').slice(1)], {
      declared: ['w1', 'w2'],
    });
    t.same([...stdout.matchAll(/^> (\w+)@\S+: DOWN/gm)].map(([, name]) => name).join(' '), nodes, line);
  }
});

t.test('asked for help or the version, does nothing else', async (t) => {
  for (const command of ['start', 'restart', 'stop', 'stopwait', 'stop_verify', 'kill']) {
    for (const word of ['--help', '-h'])
      t.match(await ran([command, word], { declared: ['w1'] }), { status: 0, stdout: /^usage: umbel multi start((?!w1@).)*$/s }, command);
    t.match(await ran([command, 'w1', '--version']), { status: 0, stdout: 'umbel 1.2.3\n' }, command);
  }
});

t.test('unknown commands and none', async (t) => {
  const bogus = await ran(['bogus', '--nosplash']);
  t.same([bogus.status, bogus.stderr], [64, 'Invalid command: bogus\n']);
  t.match(bogus.stdout, /^usage: umbel multi start/);
  const none = await ran([]);
  t.equal(none.status, 64);
  t.match(none.stdout, /^umbel multi v1\.2\.3\nusage:/);
  t.match((await ran(['help'])).stdout, /%n is the short name/);
});
