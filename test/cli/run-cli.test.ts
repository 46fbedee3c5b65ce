/** The command line as a whole: where options may stand, what goes to which stream, exit statuses, and no stack traces. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { version } from '../../src/std/version.ts';
import { runInMemory } from './run-in-memory.ts';

const runCliUrl = new URL('../../src/cli/run-cli.ts', import.meta.url).href;

t.test('--version, anywhere', async (t) => {
  const cwd = t.testdir();
  for (const argv of [['--version'], ['-q', '--version'], ['config', '--version'], ['config', 'show', '--version']]) {
    t.same(await runInMemory(argv, { cwd }), { status: 0, stdout: `umbel ${version()}\n`, stderr: '' }, argv.join(' '));
  }
});

t.test('--version loads nothing but the version', async (t) => {
  const script = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load(url, context, next) { if (url.startsWith('file:')) loaded.push(url); return next(url, context); } });
    const { runCli } = await import(${JSON.stringify(runCliUrl)});
    await runCli(['--version']);
    process.stderr.write(loaded.map((url) => url.split('/src/').at(-1)).join(' '));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  t.equal(stdout, `umbel ${version()}\n`);
  t.same(stderr.split(' ').toSorted(), ['cli/run-cli.ts', 'std/version.ts']);
});

t.test('help goes to stdout when asked for, and to stderr with status 64 when the command is missing', async (t) => {
  const cwd = t.testdir();
  const asked = await runInMemory(['--help'], { cwd });
  t.equal(asked.status, 0);
  t.equal(asked.stderr, '');
  t.match(asked.stdout, /^Usage: umbel .*\n[\s\S]*Commands:\n[\s\S]* {2}config /);
  t.same(await runInMemory(['help'], { cwd }), asked);
  t.same(await runInMemory([], { cwd }), { status: 64, stdout: '', stderr: asked.stdout });
  const command = await runInMemory(['config', '--help'], { cwd });
  t.match(command.stdout, /^Usage: umbel config ACTION/);
  t.same(await runInMemory(['help', 'config'], { cwd }), command);
  t.same(await runInMemory(['-h', 'config'], { cwd }), command);
});

t.test('bad command lines end with 64 and one message', async (t) => {
  const cwd = t.testdir();
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['confg'], /^umbel: 'confg' is not a command of umbel; did you mean config\? \[USAGE\]\n$/],
    [['zzz'], /^umbel: 'zzz' is not a command of umbel; the commands are .*config.* \[USAGE\]\n$/],
    [['help', 'confg'], /did you mean config\?/],
    [['--borker', 'x'], /^umbel: --borker is not an option of umbel .*did you mean --broker\?/],
    [['config', 'show', '--concurency=2'], /did you mean --concurrency\?/],
    [['config', 'show', '-c'], /^umbel: -c needs a value \(N\)/],
    [['config', 'shwo'], /^umbel: the action must be .* got "shwo"; did you mean show\? \[USAGE\]/],
    [['config', 'check', '--origin'], /^umbel: --origin goes with the action show, got check \[USAGE\]/],
    [['config'], /^umbel: arguments are missing for command 'config <action>'/],
    [
      ['config', 'show', '-c0', '-P', 'slo'],
      /^umbel: worker\.concurrency must be a positive integer, got 0 \(--concurrency\) \[USAGE\]\n {2}worker\.pool must be .*got "slo"/,
    ],
    [['-b', 'sqs://me:geheim@h//', 'config', 'check'], /^umbel: broker\.url has the scheme 'sqs', which is not built/],
  ];
  for (const [argv, message] of cases) {
    const { status, stdout, stderr } = await runInMemory(argv, { cwd });
    t.equal(status, 64, argv.join(' '));
    t.equal(stdout, '');
    t.match(stderr, message);
    t.notMatch(stderr, /geheim|^ +at /m);
  }
});

t.test('global options before and after the command', async (t) => {
  const cwd = t.testdir({ 'u.toml': '[task]\ndefault_queue = "mail"\n' });
  const wanted = await runInMemory(['config', 'show', '-A', 'a.ts', '--config', 'u.toml', '-C', '-b', 'memory://'], { cwd });
  t.equal(wanted.status, 0);
  t.match(wanted.stdout, /url = "memory:\/\/"[\s\S]*default_queue = "mail"[\s\S]*tasks = \[".*\/a\.ts"\][\s\S]*log_color = false/);
  for (const argv of [
    ['-A', 'a.ts', '--config=u.toml', '-C', '-b', 'memory://', 'config', 'show'],
    ['-Aa.ts', '-C', 'config', '--config', 'u.toml', 'show', '--broker=memory://'],
    ['-b', 'sqlite:////x', 'config', '--config', 'u.toml', 'show', '-C', '-A', 'a.ts', '--broker=memory://'],
  ]) {
    t.same(await runInMemory(argv, { cwd }), wanted, argv.join(' '));
  }
});

t.test('--quiet keeps results and errors', async (t) => {
  const cwd = t.testdir();
  t.match(await runInMemory(['config', 'check'], { cwd }), { status: 0, stdout: '', stderr: /valid/ });
  t.same(await runInMemory(['-q', 'config', 'check'], { cwd }), { status: 0, stdout: '', stderr: '' });
  t.match(await runInMemory(['-q', '--config=none', 'config', 'check'], { cwd }), { status: 78, stderr: /no such file/ });
  t.match(await runInMemory(['config', 'example', '--quiet'], { cwd }), { status: 0, stdout: /concurrency/ });
});

t.test('a stack trace is shown with UMBEL_DEBUG only', async (t) => {
  const cwd = t.testdir();
  t.notMatch((await runInMemory(['zzz'], { cwd })).stderr, /\n\s+at /);
  t.match((await runInMemory(['zzz'], { cwd, env: { UMBEL_DEBUG: '1' } })).stderr, /^umbel: 'zzz'.*\n[\s\S]*\n\s+at /);
});

t.test('red on a terminal that wants it', async (t) => {
  const cwd = t.testdir();
  t.ok((await runInMemory(['zzz'], { cwd, tty: true })).stderr.startsWith('\u001b[31mumbel:'));
  t.match((await runInMemory(['zzz'], { cwd, tty: true, env: { NO_COLOR: '1' } })).stderr, /^umbel:/);
  t.match((await runInMemory(['zzz'], { cwd, tty: true, env: { TERM: 'dumb' } })).stderr, /^umbel:/);
});

t.test('a reader that goes away is no failure', async (t) => {
  const script = `
    import { runCli } from ${JSON.stringify(runCliUrl)};
    for (let i = 0; i < 200; i++) process.exitCode = await runCli(['config', 'example']);
  `;
  const { status, stdout, stderr } = spawnSync(
    '/bin/bash',
    ['-c', 'set -o pipefail; "$0" --input-type=module -e "$1" | head -n 1', process.execPath, script],
    { encoding: 'utf8', cwd: resolve(import.meta.dirname), env: { PATH: process.env.PATH, HOME: t.testdir() } },
  );
  t.equal(stderr, '');
  t.equal(status, 0);
  t.match(stdout, /^# umbel\.toml/);
});

t.test('output that cannot be written is a failure', { skip: !existsSync('/dev/full') }, (t) => {
  const script = `
    import { runCli } from ${JSON.stringify(runCliUrl)};
    process.exitCode = await runCli(['config', 'example']);
  `;
  const { status, stderr } = spawnSync('/bin/bash', ['-c', '"$0" --input-type=module -e "$1" > /dev/full', process.execPath, script], {
    encoding: 'utf8',
    cwd: resolve(import.meta.dirname),
    env: { PATH: process.env.PATH, HOME: t.testdir() },
  });
  t.match(stderr, /^umbel: standard output must take what the command prints: ENOSPC.* \[OUTPUT_UNWRITABLE\]\n$/);
  t.equal(status, 74);
  t.end();
});
