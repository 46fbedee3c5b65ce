import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { signalTable, type WorkerSignal } from '../../src/os/signal-table.ts';
import { listenSignals, type SignalHandlers } from '../../src/os/signals.ts';
import { startScript } from './script-process.ts';

const listening = `
const { listenSignals } = await import(src + '/os/signals.ts');
const say = (meaning) => ({ signal, count, exitStatus }) => console.log([meaning, signal, count, exitStatus].join(' '));
const names = ['warm', 'cold', 'hard', 'restart', 'dump', 'inspect', 'grow', 'shrink', 'quiet', 'resume'];
listenSignals({ handlers: Object.fromEntries(names.map((name) => [name, say(name)])) });
setInterval(() => {}, 1000);
console.log('listening');
`;

t.test('each signal has its meaning, repeated ones the next step', async (t) => {
  const script = startScript(t, listening, { env: { ...process.env, REMAP_SIGTERM: '' } });
  await script.line(/^listening/);
  const expected: readonly (readonly [NodeJS.Signals, string])[] = [
    ['SIGTERM', 'warm SIGTERM 1 0'],
    ['SIGTERM', 'warm SIGTERM 2 0'],
    ['SIGINT', 'warm SIGINT 1 1'],
    ['SIGINT', 'cold SIGINT 2 1'],
    ['SIGINT', 'hard SIGINT 3 1'],
    ['SIGINT', 'hard SIGINT 4 1'],
    ['SIGQUIT', 'cold SIGQUIT 1 1'],
    ['SIGQUIT', 'hard SIGQUIT 2 1'],
    ['SIGHUP', 'restart SIGHUP 1 '],
    ['SIGUSR1', 'dump SIGUSR1 1 '],
    ['SIGUSR2', 'inspect SIGUSR2 1 '],
    ['SIGTTIN', 'grow SIGTTIN 1 '],
    ['SIGTTOU', 'shrink SIGTTOU 1 '],
    ['SIGTSTP', 'quiet SIGTSTP 1 '],
    ['SIGCONT', 'resume SIGCONT 1 '],
  ];
  for (const [signal, line] of expected) {
    script.child.kill(signal);
    t.equal(await script.line(new RegExp(`^\\w+ ${line.split(' ').slice(1, 3).join(' ')} `)), line);
  }
  t.same(new Set(expected.map(([signal]) => signal)), new Set(Object.keys(signalTable)), 'every signal of the table was sent');
  t.same(script.err, [], 'USR1 did not open the inspector');
});

t.test('REMAP_SIGTERM=SIGQUIT makes TERM cold', async (t) => {
  const script = startScript(t, listening, { env: { ...process.env, REMAP_SIGTERM: 'SIGQUIT' } });
  await script.line(/^listening/);
  script.child.kill('SIGTERM');
  t.equal(await script.line(/SIGTERM/), 'cold SIGTERM 1 1');
  const handlers = {} as SignalHandlers;
  t.throws(() => listenSignals({ handlers, env: { REMAP_SIGTERM: 'SIGINT' } }), { code: 'CONFIG_INVALID' });
});

t.test('works as PID 1', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const script = startScript(t, `console.log('pid', process.pid);${listening}`, {
    via: ['unshare', '-pf', '--mount-proc', '--kill-child'],
  });
  await script.line(/^listening/);
  t.equal(script.out[0], 'pid 1');
  // To the process inside: unshare itself only waits for it.
  const inside = Number(readFileSync(`/proc/${script.pid}/task/${script.pid}/children`, 'utf8').trim());
  process.kill(inside, 'SIGTERM');
  t.equal(await script.line(/SIGTERM/), 'warm SIGTERM 1 0');
});

t.test('a closed terminal is no wish for a restart', { skip: process.platform !== 'linux' && 'needs a terminal' }, async (t) => {
  // Python makes the terminal, starts us on it, and closes it when told to.
  const terminal = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while b'listening' not in seen: seen += os.read(fd, 1000)
os.close(fd)
os.waitpid(pid, 0)
`;
  const folder = t.testdir();
  const script = startScript(
    t,
    `const { appendFileSync } = await import('node:fs');
     const { listenSignals } = await import(src + '/os/signals.ts');
     const say = (meaning) => () => { appendFileSync(${JSON.stringify(`${folder}/said`)}, meaning); process.exit(0); };
     // The kernel sends CONT along with HUP, and it may arrive first.
     listenSignals({ handlers: { warm: say('warm'), restart: say('restart'), resume: () => {} } });
     setTimeout(() => process.exit(1), 60_000);
     console.log('listening');`,
    { via: ['python3', '-c', terminal] },
  );
  await script.ended;
  t.equal(readFileSync(`${folder}/said`, 'utf8'), 'warm');
});

t.test('close gives the signals back', async (t) => {
  const before = process.listenerCount('SIGTTIN');
  let grown = 0;
  const handlers = { grow: () => grown++ } as unknown as SignalHandlers;
  const listener = listenSignals({ handlers, env: {} });
  process.emit('SIGTTIN');
  t.equal(grown, 1);
  listener.close();
  listener.close();
  for (const signal of Object.keys(signalTable) as WorkerSignal[]) t.ok(constants.signals[signal] > 0);
  t.equal(process.listenerCount('SIGTTIN'), before);
});

t.test('a child ignores what is meant for its parent, and dies of TERM', async (t) => {
  const script = startScript(
    t,
    `const { ignoreGroupSignals } = await import(src + '/os/signals.ts');
     ignoreGroupSignals();
     process.on('SIGCONT', () => console.log('still here'));
     setInterval(() => {}, 1000);
     console.log('up');`,
  );
  await script.line(/^up/);
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGUSR2', 'SIGCONT'] as const)
    script.child.kill(signal);
  await script.line(/^still here/);
  script.child.kill('SIGTERM');
  t.same(await script.ended, { code: null, signal: 'SIGTERM' });
});
