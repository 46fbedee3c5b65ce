import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { currentCall } from '../../src/os/reexec.ts';
import { startScript } from './script-process.ts';

t.test('the same pid, arguments, environment and folder, and the log is written', async (t) => {
  const folder = t.testdir();
  mkdirSync(join(folder, 'sub'));
  const script = startScript(
    t,
    `const { reexec } = await import(src + '/os/reexec.ts');
     const { createLogger } = await import(src + '/log/create-logger.ts');
     const round = Number(process.env.ROUND ?? 0);
     console.log(JSON.stringify([round, process.pid, process.argv.slice(1), process.execArgv.slice(0, 1), process.cwd()]));
     if (round === 2) process.exit(5);
     process.env.ROUND = String(round + 1);
     process.chdir('sub');
     const log = createLogger({ level: 'info', format: 'text', processName: 'MainProcess' });
     for (let i = 0; i < 3; i++) log.info('x', 'line ' + i);
     reexec({ beforeExec: () => log.flushSync() });`,
    { args: ['worker', '-n', 'a b', ''], execArgv: ['--no-warnings'], cwd: folder },
  );
  t.same(await script.ended, { code: 5, signal: null });
  const rounds = script.out.map((line) => JSON.parse(line));
  t.same(
    rounds,
    [0, 1, 2].map((round) => [round, script.pid, ['worker', '-n', 'a b', ''], ['--no-warnings'], folder]),
  );
  t.equal(script.err.filter((line) => /line \d$/.test(line)).length, 6);
});

t.test('where the platform has no execve, it says so', async (t) => {
  const script = startScript(
    t,
    `process.execve = undefined;
     const { reexec } = await import(src + '/os/reexec.ts');
     try { reexec({ beforeExec() { console.log('never'); } }); } catch (error) { console.log(error.code, error.message); }`,
  );
  await script.ended;
  t.match(script.out, [/^NOT_SUPPORTED restarting in place needs process\.execve/]);
});

t.test('in a single executable the arguments start after the repeated name', async (t) => {
  t.same(currentCall(true).args, process.argv.slice(2));
  t.same(currentCall(false).args, [...process.execArgv, ...process.argv.slice(1)]);
  t.equal(currentCall(false).file, process.execPath);
});

t.test('in a single executable the name it was called by decides, through PATH and links', async (t) => {
  const folder = t.testdir();
  writeFileSync(join(folder, 'release-2'), '', { mode: 0o755 });
  writeFileSync(join(folder, 'data'), '', { mode: 0o644 });
  symlinkSync('release-2', join(folder, 'umbel'));
  const path = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = path;
  });
  process.env.PATH = `/nonexistent:${folder}`;
  t.equal(currentCall(true, 'umbel').file, join(folder, 'umbel'));
  t.equal(currentCall(true, join(folder, 'umbel')).file, join(folder, 'umbel'));
  t.equal(currentCall(true, relative(process.cwd(), join(folder, 'umbel'))).file, join(folder, 'umbel'));
  t.equal(currentCall(true, 'data').file, process.execPath, 'not executable');
  t.equal(currentCall(true, 'gone').file, process.execPath);
});
