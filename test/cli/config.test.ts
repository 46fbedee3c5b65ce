/** `umbel config`: its four actions, by what they print and their status. */
import { join } from 'node:path';
import t from 'tap';
import { runInMemory } from './run-in-memory.ts';

t.test('check', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[worker]\nconcurrency = 2\n', 'bad.toml': '[worker]\nconcurrency = 0\nqueue = ["a"]\n' });
  t.same(await runInMemory(['config', 'check'], { cwd }), { status: 0, stdout: '', stderr: 'umbel.toml is valid.\n' });
  t.same(await runInMemory(['config', 'check', '--config', 'bad.toml'], { cwd }), {
    status: 78,
    stdout: '',
    stderr:
      'umbel: the configuration has 2 problems: [CONFIG_INVALID]\n' +
      '  worker.concurrency must be a positive integer, got 0 (bad.toml:2)\n' +
      '  worker.queue is not a setting; did you mean worker.queues? (bad.toml:3)\n',
  });
});

t.test('check: a URL beyond its scheme', async (t) => {
  for (const [url, problem] of [
    ['amqp://h:99999//', /broker\.url: .*99999/],
    ['amqp://h/%zz', /broker\.url: .*%zz/],
    ['amqp://h//?bogus=1', /broker\.url: .*bogus/],
    ['redis://h/x', /broker\.url: .*x/],
  ] as const) {
    const wrong = t.testdir({ 'umbel.toml': `[broker]\nurl = "${url}"\n` });
    const { status, stderr } = await runInMemory(['config', 'check'], { cwd: wrong });
    t.equal(status, 78, url);
    t.match(stderr, problem);
    t.match(stderr, /\(umbel\.toml:2\)/);
  }
  const both = t.testdir({ 'umbel.toml': '[broker]\nurl = "amqp://h:70000//"\n[result]\nbackend = "rpc://x"\n' });
  const { stderr } = await runInMemory(['config', 'check'], { cwd: both });
  t.match(stderr, /broker\.url: .*70000.*\(umbel\.toml:2\)\n.*result\.backend must be rpc:\/\/.*\(umbel\.toml:4\)/);
  const embedded = t.testdir({ 'umbel.toml': '[result]\nbackend = "rpc://x"\n' });
  t.match(await runInMemory(['config', 'check'], { cwd: embedded }), { status: 78, stderr: /result\.backend must be rpc/ });
});

t.test('show, with origins', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[worker]\nconcurrency = 2\n' });
  const plain = await runInMemory(['config', 'show'], { cwd });
  t.match(plain.stdout, /^concurrency = 2$/m);
  const { stdout } = await runInMemory(['config', 'show', '--origin', '-linfo', '-Q', 'a,b'], {
    cwd,
    env: { UMBEL_WORKER_OPTIMIZATION: 'fair' },
  });
  t.match(stdout, /^concurrency = 2 +# umbel\.toml:2$/m);
  t.match(stdout, /^loglevel = "info" +# --loglevel$/m);
  t.match(stdout, /^queues = \["a", "b"\] +# --queues$/m);
  t.match(stdout, /^optimization = "fair" +# UMBEL_WORKER_OPTIMIZATION$/m);
});

t.test('example is a file that passes check', async (t) => {
  const cwd = t.testdir();
  const { stdout } = await runInMemory(['config', 'example'], { cwd });
  const { status } = await runInMemory(['config', 'check'], { cwd: t.testdir({ 'umbel.toml': stdout }) });
  t.equal(status, 0);
});

t.test('path', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': 'broken', sub: {}, moved: { 'umbel.toml': '' } });
  t.same(await runInMemory(['config', 'path'], { cwd }), { status: 0, stdout: `${join(cwd, 'umbel.toml')}\n`, stderr: '' });
  t.equal((await runInMemory(['--workdir', 'moved', 'config', 'path'], { cwd })).stdout, `${join(cwd, 'moved/umbel.toml')}\n`);
  const none = await runInMemory(['config', 'path'], { cwd: join(cwd, 'sub') });
  t.equal(none.status, 1);
  t.equal(none.stdout, '');
  t.match(none.stderr, join(cwd, 'sub/umbel.toml'));
  t.match(none.stderr, '/etc/umbel/umbel.toml');
});
