import t from 'tap';
import { processIsAlive } from '../../src/os/process-info.ts';
import { startScript } from './script-process.ts';

const child = `
const { dieWithParent } = await import(src + '/os/parent-death.ts');
console.log('asked', dieWithParent(Number(process.argv[1])), process.pid);
setInterval(() => {}, 1000);
`;

t.test('a child does not outlive kill -9 of its parent', { skip: process.platform !== 'linux' && 'Linux only' }, async (t) => {
  // stdout of the grandchild is ours: it closes when the last holder is gone, so the end of the output is the end of both.
  const parent = startScript(
    t,
    `const { spawn } = await import('node:child_process');
     const code = 'const src = ' + JSON.stringify(src) + ';' + ${JSON.stringify(child)};
     spawn(process.execPath, ['--input-type=module', '-e', code, String(process.pid)], { stdio: 'inherit' });
     setInterval(() => {}, 1000);`,
  );
  const line = await parent.line(/^asked/);
  t.match(line, /^asked true \d+$/);
  const childPid = Number(line.split(' ')[2]);
  t.ok(processIsAlive(childPid));
  parent.child.kill('SIGKILL');
  t.same(await parent.ended, { code: null, signal: 'SIGKILL' });
  // Its files were closed; from there to its end are some microseconds.
  while (processIsAlive(childPid)) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(processIsAlive(childPid));
});

t.test('with a lifeline what a spinning child has spawned goes too', { skip: process.platform !== 'linux' && 'Linux only' }, async (t) => {
  const spinning = `
      const { dieWithParent } = await import(src + '/os/parent-death.ts');
      const { spawn } = await import('node:child_process');
      const asked = dieWithParent(Number(process.argv[1]), 5);
      const spawned = spawn('sleep', ['1000'], { stdio: 'ignore' });
      (await import('node:fs')).writeSync(1, 'asked ' + asked + ' ' + process.pid + ' ' + spawned.pid + '\\n');
      for (;;) {}`;
  const parent = startScript(
    t,
    `const { spawn } = await import('node:child_process');
       const code = 'const src = ' + JSON.stringify(src) + ';' + ${JSON.stringify(spinning)};
       const stdio = ['ignore', 'inherit', 'inherit', 'pipe', 'pipe', 'pipe'];
       spawn(process.execPath, ['--input-type=module', '-e', code, String(process.pid)], { stdio, detached: true });
       setInterval(() => {}, 1000);`,
  );
  const line = await parent.line(/^asked/);
  t.match(line, /^asked true \d+ \d+$/);
  const pids = line.split(' ').slice(2).map(Number);
  parent.child.kill('SIGKILL');
  t.same(await parent.ended, { code: null, signal: 'SIGKILL' });
  for (const pid of pids) while (processIsAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(pids.some(processIsAlive));
});

t.test('a child whose parent was gone already ends at once', async (t) => {
  const orphan = startScript(t, child, { args: ['1'] });
  t.same(await orphan.ended, { code: null, signal: 'SIGKILL' });
});
