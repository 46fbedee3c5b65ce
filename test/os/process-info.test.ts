import { spawn } from 'node:child_process';
import t from 'tap';
import { cpuCount, processIsAlive, processRssBytes, processStartUnixMs, processStat, resourceUsage } from '../../src/os/process-info.ts';
import { startScript } from './script-process.ts';

const gone = 4194303;

t.test('of this process', async (t) => {
  t.match(processStat(process.pid), { parentPid: process.ppid, state: /^[RS]$/ });
  t.ok(Math.abs((processRssBytes(process.pid) ?? 0) - process.memoryUsage.rss()) < 20e6);
  t.ok((resourceUsage().utime ?? 0) > 0);
  // It may grow between one look and the next.
  const before = process.resourceUsage().maxRSS;
  const { maxrss = 0 } = resourceUsage();
  t.ok(maxrss >= before && maxrss <= process.resourceUsage().maxRSS, `${maxrss} KiB, ${before} just before`);
  t.ok(cpuCount() >= 1);
});

t.test('when a process has started', async (t) => {
  const beforeMs = Date.now();
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const startedMs = processStartUnixMs(child.pid ?? 0) ?? 0;
  const afterMs = Date.now();
  // The kernel counts in hundredths of a second.
  t.ok(startedMs >= beforeMs - 30 && startedMs <= afterMs + 30, `started ${startedMs}, between ${beforeMs} and ${afterMs}`);
});

t.test('of none', async (t) => {
  t.equal(processStat(gone), null);
  t.equal(processStartUnixMs(gone), null);
  t.equal(processRssBytes(gone), null);
  t.notOk(processIsAlive(gone));
});

t.test('a zombie is not alive, whatever its name', async (t) => {
  const parent = startScript(
    t,
    `const { spawn } = await import('node:child_process');
     const { processIsAlive, processStat } = await import(src + '/os/process-info.ts');
     const child = spawn(process.execPath, ['-e', "process.title = 'a) Z 1 ('; console.log('up'); setInterval(() => {}, 1000)"], { stdio: ['ignore', 'pipe', 'ignore'] });
     child.stdout.once('data', () => {
       console.log(processIsAlive(child.pid), processStat(child.pid).parentPid === process.pid);
       child.kill('SIGKILL');
       // Node cannot collect it while it is kept busy here.
       while (processStat(child.pid).state !== 'Z') {}
       console.log(processIsAlive(child.pid));
     });`,
  );
  await parent.ended;
  t.same(parent.out, ['true true', 'false']);
});
