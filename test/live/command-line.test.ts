/** The command line as a shell sees it: where options may stand, what goes to which stream, colours, quiet, help. */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';
import { umbelBinary } from './umbel-binary.ts';

function newFolder(t: Test): LiveFolder {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  return folder;
}

void t.test('version and help', async (t) => {
  const folder = newFolder(t);
  const version = await folder.umbel(['--version']);
  t.match(version, { status: 0, stdout: /^umbel \d+\.\d+\.\d+\S*\n$/, stderr: /^$/ });
  t.strictSame(await folder.umbel(['worker', '--version']), version);
  for (const args of [['help'], ['--help'], ['-h']]) {
    const help = await folder.umbel(args);
    t.match(help, { status: 0, stdout: /^Usage: umbel /, stderr: /^$/ }, args.join(' '));
    for (const command of ['worker', 'call', 'result', 'config']) t.match(help.stdout, new RegExp(`^  ${command} `, 'm'));
  }
  for (const command of ['worker', 'call', 'result', 'config']) {
    const help = await folder.umbel([command, '--help']);
    t.match(help, { status: 0, stdout: new RegExp(`^Usage: umbel ${command}`), stderr: /^$/ });
    t.strictSame(await folder.umbel(['help', command]), help);
  }
  t.match(await folder.umbel([]), { status: 64, stdout: /^$/, stderr: /^Usage: umbel / });
  t.notOk(existsSync(folder.database), 'nothing is made for it');
});

void t.test('global options before and after the command', async (t) => {
  const folder = newFolder(t);
  folder.write('other.toml', '[worker]\nconcurrency = 1\nlog_format = "json"\nloglevel = "debug"\n');
  const url = 'sqlite:///own.db';
  const variants: readonly (readonly string[])[] = [
    ['-A', 'tasks.ts', '-b', url, '--config', 'other.toml', 'worker'],
    ['worker', '-A', 'tasks.ts', '-b', url, '--config', 'other.toml'],
    ['-Atasks.ts', `--broker=${url}`, 'worker', '--config=other.toml'],
    ['--app', 'tasks.ts', 'worker', `-b${url}`, '--config', 'other.toml', '-linfo'],
  ];
  for (const args of variants) {
    const worker = await folder.start(args).ready();
    t.match(worker.all('worker.ready')[0], { concurrency: 1 }, args.join(' '));
    t.strictSame(await folder.umbel(['-b', url, 'call', 'tasks.add', '--args', '[2, 2]', '--wait']), {
      status: 0,
      signal: null,
      stdout: '4\n',
      stderr: '',
    });
    t.strictSame(await folder.umbel(['call', 'tasks.add', '--args=[1, 2]', '--wait', '20', '--broker', url]), {
      status: 0,
      signal: null,
      stdout: '3\n',
      stderr: '',
    });
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  }
  t.notOk(existsSync(folder.database));
});

void t.test('a workdir, settings from the environment, and what wins', async (t) => {
  const folder = newFolder(t);
  folder.write('below/umbel.toml', '[worker]\nconcurrency = 3\n');
  folder.write('below/jobs/mail.ts', 'export const send = (to: string) => `to ${to}`;\n');
  const env = {
    UMBEL_WORKER_LOGLEVEL: 'debug',
    UMBEL_WORKER_LOG_FORMAT: 'json',
    CELERY_BROKER_URL: `sqla+${folder.sqliteUrl('env.db')}`,
  };
  const fromFile = await folder.start(['worker', '--workdir', 'below', '-A', 'jobs'], { env }).ready();
  t.match(fromFile.all('worker.ready')[0], { concurrency: 3 });
  const called = await folder.umbel(['call', 'jobs.mail.send', '-a', '["you"]', '--wait'], { env });
  t.strictSame(called, { status: 0, signal: null, stdout: '"to you"\n', stderr: '' });
  await fromFile.stop();
  const fromEnvironment = await folder
    .start(['worker', '--workdir', 'below', '-A', 'jobs'], { env: { ...env, UMBEL_WORKER_CONCURRENCY: '2' } })
    .ready();
  t.match(fromEnvironment.all('worker.ready')[0], { concurrency: 2 });
  await fromEnvironment.stop();
  const fromFlag = await folder
    .start(['worker', '--workdir', 'below', '-A', 'jobs', '-c1'], { env: { ...env, UMBEL_WORKER_CONCURRENCY: '2' } })
    .ready();
  t.match(fromFlag.all('worker.ready')[0], { concurrency: 1 });
  await fromFlag.stop();
});

void t.test('the banner goes to stdout, the log to stderr; --quiet leaves both to results and errors', async (t) => {
  const folder = newFolder(t);
  const worker = folder.start(['worker', '-A', 'tasks.ts', '-c', '1', '-l', 'info', '-n', 'w1@example.com', '-Q', 'celery,mail']);
  await worker.line(/w1@example\.com ready\./);
  await worker.line(/concurrency: 1 \(prefork\)/);
  await worker.stop();
  const banner = worker.stdout.join('\n');
  t.match(banner, /-------------- w1@example\.com umbel v\d/);
  t.match(banner, new RegExp(`transport: +sqlite:///${folder.database}`));
  t.match(banner, /\.> celery +exchange=celery\(direct\) key=celery\n \.> mail +exchange=mail\(direct\) key=mail/);
  t.match(banner, /\[tasks\]\n {2}\. tasks\.add\n/);
  t.notMatch(banner, /ready\./);

  const quiet = folder.start(['worker', '--quiet', '-A', 'tasks.ts', '-c', '1', '-l', 'info']);
  await quiet.line(/ ready\./);
  await quiet.stop();
  t.strictSame(quiet.stdout, []);
  t.strictSame((await folder.umbel(['-q', 'call', 'tasks.nobody', '--task-id', 'x'])).stdout, 'x\n');
  t.match(await folder.umbel(['-q', 'result', 'x']), { status: 75, stderr: /RESULT_TIMEOUT/ });
});

void t.test('colours: none in a pipe, on a terminal unless NO_COLOR or --no-color', async (t) => {
  const folder = newFolder(t);
  folder.write('dies.js', 'process.exit(3);\n');
  folder.write('umbel.toml', '[worker]\nmax_start_failures = 2\n');
  const red = `${String.fromCharCode(27)}[`;
  /** What umbel writes to a terminal. */
  const inTerminal = async (before: string, args: string): Promise<string> => {
    const env = { TERM: 'xterm', UMBEL: umbelBinary };
    return (await folder.run('script', ['-qec', `${before} "$UMBEL" ${args}; true`, '/dev/null'], { env })).stdout;
  };
  const badModule = 'worker -A gone.ts';
  t.notMatch((await folder.umbel(badModule.split(' '))).stderr, red, 'a pipe');
  t.match(await inTerminal('', badModule), `${red}31mumbel:`, 'a terminal');
  t.notMatch(await inTerminal('NO_COLOR=1', badModule), red, 'NO_COLOR');

  const logLine = async (before: string, args: string): Promise<string> => {
    const lines = await inTerminal(before, `${args} worker -c 1 -A dies.js`);
    return lines.split('\n').find((line) => line.includes('could not start')) ?? 'no line';
  };
  t.match(await logLine('', ''), `${red}1;31m`, 'an error in the log is red');
  for (const [before, args] of [
    ['NO_COLOR=1', ''],
    ['', '--no-color'],
    ['', '-C'],
  ] as const) {
    const line = await logLine(before, args);
    t.match(line, /could not start/);
    t.notMatch(line, red, `${before}${args}`);
  }
});

void t.test('results are JSON, whatever they hold', async (t) => {
  const folder = newFolder(t);
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  for (const value of ['null', 'true', '"ä\\n"', '[1,{"a":[]}]', '1e21', '12345678901234567890', '0.1']) {
    const called = await folder.umbel(['call', 'tasks.echo', '--args', `[${value}]`, '--wait']);
    t.match(called, { status: 0, stderr: /^$/ }, value);
    t.strictSame(JSON.parse(called.stdout), JSON.parse(value));
  }
  const id = (await folder.umbel(['call', 'tasks.add', '--args', '[1, 1]'])).stdout.trim();
  t.match(id, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/);
  t.strictSame(await folder.umbel(['result', id, '--wait']), { status: 0, signal: null, stdout: '2\n', stderr: '' });
  t.strictSame(await folder.umbel(['result', id, '--wait', '5']), { status: 0, signal: null, stdout: '2\n', stderr: '' });
  t.strictSame(await folder.umbel(['result', id]), { status: 0, signal: null, stdout: '2\n', stderr: '' });
  t.strictSame(await folder.umbel(['result', '--state', id]), { status: 0, signal: null, stdout: 'SUCCESS\n', stderr: '' });
  t.strictSame(await folder.umbel(['result', '--traceback', id]), { status: 0, signal: null, stdout: '\n', stderr: '' }, 'there is none');
  t.match(await folder.umbel(['result', '--traceback', '--state', id]), { status: 64, stderr: /--traceback is given without/ });
  const failed = await folder.umbel(['call', 'tasks.add', '--args', '[1, 2, 3]', '--wait']);
  t.match(failed, { status: 1, stdout: /^$/, stderr: /^FAILURE: TypeError: / });
  await worker.stop();
});

void t.test('what a task failed with, and where a task is sent', async (t) => {
  const folder = newFolder(t);
  folder.write('tasks.ts', `${liveTasks}\nexport const fails = () => { throw new RangeError('too far'); };\n`);
  folder.write('umbel.toml', '[queues.mail]\nexchange = "letters"\nexchange_type = "topic"\nrouting_key = "letter.#"\n');
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-Q', 'mail']).ready();
  const sent = await folder.umbel(['call', 'tasks.fails', '--exchange', 'letters', '--routing-key', 'letter.a', '--serializer', 'json']);
  const id = sent.stdout.trim();
  // The line in the log does not wait for the result to be stored.
  t.match(await folder.umbel(['result', id, '--wait']), { status: 1, stdout: /^$/, stderr: /^FAILURE: ValueError: too far/ });
  const { stdout, status } = await folder.umbel(['result', id, '--traceback']);
  t.equal(status, 0);
  t.match(stdout, /^RangeError: too far\n {4}at .*tasks\.ts/);
  t.match(await folder.umbel(['call', 'tasks.fails', '--serializer', 'pickle']), {
    status: 64,
    stderr: /--serializer must be .*json.*pickle/,
  });
  await worker.stop();
});
