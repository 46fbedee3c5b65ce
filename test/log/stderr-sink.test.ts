import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import t, { type Test } from 'tap';

/** Writes more than any buffer takes, says so on stdout, and stays. */
const chatty = `
const { createLogger } = await import(${JSON.stringify(new URL('../../src/log/create-logger.ts', import.meta.url).href)});
const log = createLogger({ level: 'info', format: 'text', processName: 'MainProcess' });
const text = 'x'.repeat(1000);
process.on('SIGTERM', () => { log.info('x', 'bye'); process.exit(5); });
for (let i = 0; i < 8_000; i++) {
  log.info('x', text);
  if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
}
console.log('logged');
setInterval(() => {}, 1000);
`;

function start(t: Test, via: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
  const command = [...via, process.execPath, '--input-type=module', '-e', chatty];
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

function ended(child: ChildProcessByStdio<null, Readable, Readable>): Promise<number | null> {
  return new Promise((resolve) => child.on('close', resolve));
}

/** A pipe made by a shell is a pipe; one made by Node is a socket. */
const kinds: readonly (readonly [string, readonly string[]])[] = [
  ['socket', []],
  ['pipe', ['python3', '-c', pipeThrough()]],
];

/** Runs its arguments with a real pipe as stderr, and passes on what comes out only after the first byte of its own stdin. */
function pipeThrough(): string {
  return `
import os, signal, subprocess, sys, threading
r, w = os.pipe()
go = threading.Event()
# Before anybody can say that it is time for them.
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
signal.signal(signal.SIGUSR2, lambda *_: go.set())
child = subprocess.Popen(sys.argv[1:], stderr=w)
os.close(w)
def copy():
    go.wait()
    while True:
        data = os.read(r, 65536)
        if not data: return
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
thread = threading.Thread(target=copy)
thread.start()
while child.poll() is None:
    try: child.wait(0.05)
    except subprocess.TimeoutExpired: pass
go.set()
thread.join()
sys.exit(child.returncode)
`;
}

for (const [kind, via] of kinds) {
  t.test(`a reader that stalls (${kind}) stops nothing, and lost lines are counted`, async (t) => {
    const child = start(t, via);
    const end = ended(child);
    // 8 MB are logged although nobody reads; a blocking write would never get here.
    await new Promise<void>((resolve) => createInterface(child.stdout).on('line', (line) => line === 'logged' && resolve()));
    if (kind === 'pipe') child.kill('SIGUSR2');
    let lines = 0;
    let whole = true;
    let last = '';
    let lost = 0;
    await new Promise<void>((resolve) => {
      createInterface(child.stderr).on('line', (line) => {
        last = line;
        lost += Number(
          /: WARNING\/MainProcess\] (\d+) log lines were lost because they could not be written \(EAGAIN\)$/.exec(line)?.[1] ?? 0,
        );
        if (/\] x+$/.test(line)) {
          lines++;
          whole &&= line.endsWith(`] ${'x'.repeat(1000)}`);
        }
        // Every line is there or counted; otherwise this never resolves.
        if (lines + lost === 8_000) resolve();
      });
    });
    t.ok(whole, 'no line is torn');
    t.ok(lost > 0 && lines > 0);
    child.kill('SIGTERM');
    t.equal(await end, 5);
    t.match(last, /\] bye$/, 'written at exit');
  });
}

t.test('a reader that has gone (EPIPE) stops nothing', async (t) => {
  const child = start(t, []);
  child.stderr.destroy();
  await new Promise<void>((resolve) => createInterface(child.stdout).on('line', (line) => line === 'logged' && resolve()));
  child.kill('SIGTERM');
  t.equal(await ended(child), 5);
});
