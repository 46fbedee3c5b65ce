import t from 'tap';
import { createLogger } from '../../src/log/create-logger.ts';
import { Reaper, type ZombieChild } from '../../src/os/reaper.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { startScript } from './script-process.ts';

const log = createLogger({
  level: 'critical',
  format: 'text',
  processName: 'MainProcess',
  sink: { isTerminal: false, write() {}, flushSync() {}, reopen() {}, close() {} },
});

t.test('collects what stays a zombie and is nobody’s', async (t) => {
  const clock = new FakeClock();
  let zombies: ZombieChild[] = [];
  const reaped: number[] = [];
  const reap = (pid: number): boolean => reaped.push(pid) > 0;
  const reaper = new Reaper({ log, clock, enabled: true, isOwnChild: (pid) => pid === 7, listZombies: () => zombies, reap });
  await reaper.start();
  zombies = [
    { pid: 7, startTicks: 1 },
    { pid: 8, startTicks: 1 },
    { pid: 9, startTicks: 1 },
  ];
  clock.advance(5000);
  t.same(reaped, [], 'seen once: may be a child Node is about to collect');
  zombies = [
    { pid: 7, startTicks: 1 },
    { pid: 8, startTicks: 2 },
    { pid: 9, startTicks: 1 },
  ];
  clock.advance(1000);
  t.same(reaped, [9], '7 is ours, 8 is another process by now');
  await reaper.stop();
  await reaper.stop();
  t.equal(clock.pending, 0);
});

t.test('only PID 1 has work to do', async (t) => {
  const clock = new FakeClock();
  const reaper = new Reaper({ log, clock, isOwnChild: () => false });
  await reaper.start();
  t.equal(clock.pending, 0);
});

t.test('as PID 1: orphans go, children keep their exit status', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const script = startScript(
    t,
    `const { Reaper, listZombieChildren } = await import(src + '/os/reaper.ts');
     const { createLogger } = await import(src + '/log/create-logger.ts');
     const { FakeClock } = await import(src + '/std/clock.ts');
     const { spawn } = await import('node:child_process');
     const log = createLogger({ level: 'debug', format: 'json', processName: 'MainProcess' });
     const clock = new FakeClock();
     const own = spawn('sh', ['-c', 'read x; exit 3'], { stdio: ['pipe', 'inherit', 'inherit'] });
     own.on('exit', (code) => { console.log('own exit', code); process.exit(0); });
     // The shell in the middle ends at once, its child becomes ours and ends after it.
     const middle = spawn('sh', ['-c', 'sh -c "while [ -d /proc/$$ ]; do :; done" & exit 0']);
     await new Reaper({ log, clock, isOwnChild: () => false }).start();
     while (!listZombieChildren().some(({ pid }) => pid !== middle.pid)) await new Promise((resolve) => setImmediate(resolve));
     console.log('zombies', listZombieChildren().length);
     clock.advance(5000);
     console.log('zombies', listZombieChildren().length);
     clock.advance(1000);
     console.log('zombies', listZombieChildren().length);
     own.stdin.end('x\\n');`,
    { via: ['unshare', '-pf', '--mount-proc', '--kill-child'] },
  );
  t.same(await script.ended, { code: 0, signal: null });
  t.same(script.out, ['zombies 1', 'zombies 1', 'zombies 0', 'own exit 3']);
  t.match(script.err.join(), /Collected orphaned process \d+/);
});
