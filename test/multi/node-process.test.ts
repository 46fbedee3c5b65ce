/**
 * Folders of a node's files: made for a node that comes up, and taken away again, where nothing is in them, of one that does not. What a
 * node says of why it does not.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MultiNode } from '../../src/multi/multi-node.ts';
import { startNode } from '../../src/multi/node-process.ts';

function scene(t: Test, script: string, log = 'there/log') {
  const root = t.testdir({ there: {}, 'worker.js': script });
  const at = (path: string): string => join(root, path);
  const node = new MultiNode({
    name: 'w1@box',
    options: new Map([
      ['--pidfile', at('there/run/umbel/%n.pid')],
      ['--logfile', at(`${log}/%n.log`)],
    ]),
    command: at('worker.js'),
    append: '',
    passthrough: [],
    program: { executable: process.execPath, script: [] },
    folder: () => root,
    files: () => ({ pidfile: '', logfile: '' }),
  });
  const start = () => startNode(node, { PATH: process.env.PATH }, () => ({ user: null, group: null }));
  return { start, at, there: (path: string) => existsSync(at(path)) };
}

t.test('a node that comes up keeps them', async (t) => {
  const { start, there } = scene(t, '');
  t.match(await start(), { status: 0, signal: null });
  t.same(['there/run/umbel', 'there/log'].map(there), [true, true]);
});

t.test('a node that is refused leaves none', async (t) => {
  const { start, there } = scene(t, 'process.exitCode = 64');
  t.match(await start(), { status: 64 });
  t.same(['there/run', 'there/log', 'there'].map(there), [false, false, true], 'but what was there');
  const killed = scene(t, "process.kill(process.pid, 'SIGKILL')");
  t.match(await killed.start(), { signal: 'SIGKILL' });
  t.same(['there/run', 'there/log', 'there'].map(killed.there), [false, false, true]);
});

t.test('what is in them, and what was there before, stays', async (t) => {
  const { start, there, at } = scene(t, '');
  writeFileSync(
    at('worker.js'),
    `process.getBuiltinModule('node:fs').writeFileSync(${JSON.stringify(at('there/log/w1.log'))}, 'why'); process.exitCode = 1`,
  );
  mkdirSync(at('there/run'));
  t.match(await start(), { status: 1 });
  t.same(['there/run/umbel', 'there/run', 'there/log/w1.log'].map(there), [false, true, true]);
});

t.test('one that cannot be made takes the other with it', async (t) => {
  const { start, there } = scene(t, '', 'worker.js/log');
  t.match(await start(), { status: 1, said: /its folders could not be made/ });
  t.same(['there/run', 'there'].map(there), [false, true]);
});

t.test('what a node has said is heard by one that stood still until it would wait no longer', async (t) => {
  const { start, at } = scene(t, '');
  const [what, done] = [at('what'), at('done')];
  execFileSync('mkfifo', [what, done]);
  // It ends at once; a process of its own says on its standard error what it is told to, and then that it has.
  writeFileSync(
    at('worker.js'),
    `process.getBuiltinModule('node:child_process')
      .spawn('sh', ['-c', 'cat "$1" >&2; : > "$2"', 'sh', ...${JSON.stringify([what, done])}], { stdio: ['ignore', 'ignore', 'inherit'] })
      .unref();
     process.exitCode = 64;`,
  );
  const { setTimeout: later } = globalThis;
  let stoodStill = 0;
  const standing = (listener: () => void, ms: number): NodeJS.Timeout => {
    const timer = later(listener, ms);
    // As long as what a node that has ended has written may take.
    if (ms === 500) {
      stoodStill += 1;
      writeFileSync(what, 'no such task module');
      readFileSync(done);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms + 10);
    }
    return timer;
  };
  t.intercept(globalThis, 'setTimeout', { value: standing });
  t.same(await start(), { status: 64, signal: null, said: 'no such task module' });
  t.equal(stoodStill, 1);
});
