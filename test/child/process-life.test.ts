/** The hooks of a child, in real processes: when they run, in which order, and what they may not hold up. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { UmbelError } from '../../src/errors.ts';
import { ChildHandle } from '../../src/pool/child-handle.ts';
import type { ChildExit } from '../../src/pool/job.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { childSettings } from '../pool/pool-bench.ts';

delete process.env.NODE_OPTIONS;
const main = resolve(import.meta.dirname, '../../src/main.ts');

const modules = (init: string, shutdown: string) => ({
  'a.mjs': `
import { appendFileSync } from 'node:fs';
import { onWorkerProcessInit, onWorkerProcessShutdown } from 'umbel';
const say = (text) => appendFileSync(new URL('said', import.meta.url), text + '\\n');
say('a is loaded');
onWorkerProcessInit(async ({ index, hostname }) => { await null; say('init a ' + index + ' ' + hostname); });
onWorkerProcessShutdown(async ({ index }) => { await null; say('shutdown a ' + index); });
export const nothing = () => {};
`,
  'b.mjs': `
import { appendFileSync } from 'node:fs';
import { onWorkerProcessInit, onWorkerProcessShutdown } from 'umbel';
const say = (text) => appendFileSync(new URL('said', import.meta.url), text + '\\n');
say('b is loaded');
onWorkerProcessInit(async () => { ${init}; say('init b'); });
onWorkerProcessShutdown(async () => { ${shutdown}; say('shutdown b'); });
`,
});

interface Child {
  readonly handle: ChildHandle;
  readonly log: RecordingLog;
  readonly ready: Promise<unknown>;
  readonly gone: Promise<{ readonly exit: ChildExit; readonly failure: UmbelError | null }>;
  said(): string[];
}

function start(t: Test, files: Record<string, string>, more: { loadTimeoutMs?: number; shutdownHooksMs?: number } = {}): Child {
  const dir = t.testdir(files);
  const log = new RecordingLog();
  const ready = Promise.withResolvers<unknown>();
  const gone = Promise.withResolvers<{ exit: ChildExit; failure: UmbelError | null }>();
  const handle = new ChildHandle({
    index: 3,
    kind: processChildren({ execPath: process.execPath, args: ['--disable-warning=ExperimentalWarning', main, 'pool-child'] }),
    settings: { ...childSettings(3, 1, [join(dir, 'a.mjs'), join(dir, 'b.mjs')]), ...more },
    log,
    childLog: log,
    events: {
      onReady: (_child, meta) => ready.resolve(meta),
      onStarted: () => {},
      onRoom: () => {},
      mayRest: () => false,
      onRecalled: () => {},
      onJobDone: () => {},
      onPublish: () => {},
      onState: () => {},
      onGone: (_child, exit, _started, _unstarted, failure) => gone.resolve({ exit, failure }),
    },
  });
  t.teardown(async () => {
    handle.kill('SIGKILL');
    await gone.promise;
  });
  const said = (): string[] => readFileSync(join(dir, 'said'), 'utf8').trimEnd().split('\n');
  return { handle, log, ready: ready.promise, gone: gone.promise, said };
}

t.test('all modules are loaded, then the hooks in their order; at the end the other way round', async (t) => {
  const { handle, ready, gone, said } = start(t, modules('', ''));
  await ready;
  const begun = ['a is loaded', 'b is loaded', 'init a 3 bench@localhost', 'init b'];
  t.strictSame(said(), begun, 'before the child is ready');
  handle.stop();
  t.match(await gone, { exit: { exitCode: 0 }, failure: null });
  t.strictSame(said(), [...begun, 'shutdown b', 'shutdown a 3']);
});

t.test('a hook that fails at the beginning: the child cannot start, and says why', async (t) => {
  const { gone } = start(t, modules("throw new RangeError('no database')", ''));
  t.match((await gone).failure, { code: 'CHILD_CANNOT_START', message: /onWorkerProcessInit failed: RangeError: no database\n.*b\.mjs/s });
});

t.test('one that does not end at the beginning', async (t) => {
  // The modules have the same time to load, of which a busy machine needs seconds, and it may stand still for some of them.
  const { gone } = start(t, modules('await new Promise(() => {})', ''), { loadTimeoutMs: 8000 });
  t.match((await gone).failure, { message: /onWorkerProcessInit failed: it did not end within 8 s/ });
});

t.test('one that fails at the end does not keep the others from running', async (t) => {
  const { handle, log, ready, gone, said } = start(t, modules('', "throw new RangeError('not closed')"));
  await ready;
  handle.stop();
  t.match(await gone, { exit: { exitCode: 0 } });
  t.equal(said().at(-1), 'shutdown a 3');
  t.match(await log.event('child.hook-failed'), { level: 'error', message: /onWorkerProcessShutdown failed: RangeError: not closed/ });
});

t.test('one that does not end at the end is given up', async (t) => {
  const { handle, log, ready, gone } = start(t, modules('', 'await new Promise(() => {})'), { shutdownHooksMs: 100 });
  await ready;
  handle.stop();
  t.match(await gone, { exit: { exitCode: 0 } });
  t.match((await log.event('child.hook-failed')).message, /did not end within 0\.1 s \(worker\.process_shutdown_timeout\)/);
});
