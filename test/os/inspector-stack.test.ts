import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  formatStack,
  inspectorUrlFromStderrLine,
  isInspectorNotice,
  type StackFrame,
  StackTimeout,
  takeStack,
} from '../../src/os/inspector-stack.ts';
import { processStat } from '../../src/os/process-info.ts';
import { eventually } from '../pool/eventually.ts';
import { type ScriptProcess, startScript } from './script-process.ts';

/** Goes about `work`, which says when it is working, then shows that it still ticks, still computes and ends by itself. */
function busyScript(t: Test, work: string, args: readonly string[] = []): ScriptProcess {
  return startScript(
    t,
    `const { prepareForStack } = await import(src + '/os/inspector-stack.ts');
     const { existsSync, openSync, writeSync } = await import('node:fs');
     const { url } = process.getBuiltinModule('node:inspector');
     prepareForStack();
     setTimeout(function task() {
       ${work}
       writeSync(1, 'worked\\n');
       let ticks = 0;
       const timer = setInterval(() => {
         if (++ticks < 40) return;
         clearInterval(timer);
         console.log('inspector', url());
         process.exit(7);
       }, 20);
     }, 0);`,
    { args },
  );
}

/** Has nothing to do. Told to end, it does so when its inspector is closed. */
function idleScript(t: Test): ScriptProcess {
  return startScript(
    t,
    `const { prepareForStack } = await import(src + '/os/inspector-stack.ts');
     prepareForStack();
     // Node may open it once more right after the first close; it must be closed again by itself.
     process.once('SIGTERM', () => setInterval(() => {
       if (process.getBuiltinModule('node:inspector').url() === undefined) process.exit(7);
     }, 5));
     setInterval(() => {}, 100_000);
     console.log('up');`,
  );
}

/** Leaves the loop only when the file is there that its argument names: its inspector may open and close between two looks at it. */
const spinning = "(function spin() { writeSync(1, 'working\\n'); while (!existsSync(process.argv[1])) {} })();";

/** Of the script itself: it may not be back from saying that it is working, or Node be telling of the inspector on top of it. */
async function framesOfScript(wsUrl: string): Promise<StackFrame[]> {
  return (await takeStack({ wsUrl, timeoutMs: 5000 })).filter(({ url }) => !url.startsWith('node:'));
}

async function openInspector(script: ScriptProcess): Promise<string> {
  script.child.kill('SIGUSR1');
  return inspectorUrlFromStderrLine(await script.line(/^Debugger listening/)) ?? '';
}

function portIsClosed(wsUrl: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(wsUrl).port), '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}

/** Node may open it once more right after the first close; then it is closed again by itself. */
async function portCloses(t: Test, wsUrl: string): Promise<void> {
  t.ok(await eventually(t, 'the port of the inspector is closed', () => portIsClosed(wsUrl)));
}

/** It ended by itself, with nothing of the inspector left, and wrote only what Node says about it. */
async function endsUnharmed(t: Test, script: ScriptProcess): Promise<void> {
  t.same(await script.ended, { code: 7, signal: null });
  t.same(script.out.slice(-2), ['worked', 'inspector undefined']);
  t.same(
    script.err.filter((line) => !isInspectorNotice(line)),
    [],
  );
}

t.test('a process that spins', async (t) => {
  const open = join(t.testdir(), 'open');
  const script = busyScript(t, spinning, [open]);
  await script.line(/^working/);
  const wsUrl = await openInspector(script);
  const frames = await framesOfScript(wsUrl);
  t.match(frames.slice(0, 2), [{ functionName: 'spin' }, { functionName: 'task' }]);
  t.match(formatStack(frames), /^ {4}at spin \(.+:7:\d+\)\n {4}at task \(.+:7:\d+\)/);
  await portCloses(t, wsUrl);
  writeFileSync(open, '');
  await endsUnharmed(t, script);
});

/** A process that answers as Node does at its worst: `pauses` says of each request to pause whether it does, and whether it stays until it has heard what to do. */
function forgetfulProcess(t: Test, pauses: readonly ('forgets' | 'goes on' | 'stays')[], scriptUrl = 'file:///tasks.ts'): string[] {
  const asked: string[] = [];
  let requests = 0;
  class Inspector extends EventTarget {
    static readonly OPEN = 1;
    readonly readyState = 1;
    constructor() {
      super();
      setImmediate(() => this.dispatchEvent(new Event('open')));
    }
    say(message: object): void {
      setImmediate(() => this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) })));
    }
    send(text: string): void {
      const { id, method } = JSON.parse(text);
      asked.push(method);
      const pause = pauses[requests - 1];
      if (
        (method === 'Runtime.evaluate' && pauses.length <= requests) ||
        (method === 'Debugger.evaluateOnCallFrame' && pause === 'stays')
      ) {
        setImmediate(() => this.dispatchEvent(new Event('close')));
      } else if (method === 'Debugger.evaluateOnCallFrame') {
        this.say({ id, error: { code: -32_000, message: 'Can only perform operation while paused.' } });
      } else this.say({ id, result: {} });
      if (method === 'Debugger.enable') this.say({ method: 'Debugger.scriptParsed', params: { scriptId: '1', url: scriptUrl } });
      if (method !== 'Debugger.pause') return;
      requests += 1;
      const callFrames = [{ callFrameId: '1', functionName: `spin${requests}`, location: { scriptId: '1', lineNumber: 0 } }];
      if (pauses[requests - 1] !== 'forgets') this.say({ method: 'Debugger.paused', params: { callFrames } });
    }
  }
  t.intercept(globalThis, 'WebSocket', { value: Inspector });
  return asked;
}

t.test('a process that goes on before it has heard what to do is asked to pause again, until its inspector is closed', async (t) => {
  const asked = forgetfulProcess(t, ['goes on', 'goes on', 'stays']);
  t.match(await takeStack({ wsUrl: 'ws://127.0.0.1/', timeoutMs: 5000 }), [{ functionName: 'spin1' }]);
  t.equal(asked.filter((method) => method === 'Debugger.pause').length, 3);
});

t.test('a process that forgets to pause is not taken for idle before it has forgotten it three times', async (t) => {
  forgetfulProcess(t, ['forgets', 'forgets', 'stays']);
  t.match(await takeStack({ wsUrl: 'ws://127.0.0.1/', timeoutMs: 5000 }), [{ functionName: 'spin3' }]);
  forgetfulProcess(t, ['forgets', 'forgets', 'forgets']);
  t.same(await takeStack({ wsUrl: 'ws://127.0.0.1/', timeoutMs: 5000 }), []);
});

t.test('an idle process that pauses while Node tells of its inspector has no stack', async (t) => {
  forgetfulProcess(t, ['stays'], 'node:events');
  t.same(await takeStack({ wsUrl: 'ws://127.0.0.1/', timeoutMs: 5000 }), []);
});

t.test('a process that was taken for idle and is busy closes its inspector all the same', async (t) => {
  const asked = forgetfulProcess(t, ['forgets', 'forgets', 'forgets', 'stays']);
  t.same(await takeStack({ wsUrl: 'ws://127.0.0.1/', timeoutMs: 5000 }), []);
  t.equal(asked.at(-2), 'Debugger.evaluateOnCallFrame');
});

t.test('a process in a regular expression that backtracks', async (t) => {
  const script = busyScript(t, "function match() { writeSync(1, 'working\\n'); return /(a+)+$/.test('a'.repeat(36) + 'b'); } match();");
  await script.line(/^working/);
  const wsUrl = await openInspector(script);
  t.match((await framesOfScript(wsUrl))[0], { functionName: 'match' });
  await portCloses(t, wsUrl);
});

t.test('a process that waits in Atomics.wait', async (t) => {
  const script = busyScript(
    t,
    `(function wait() {
       writeSync(1, 'working\\n');
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
       if (url() !== undefined) wait();
     })();`,
  );
  await script.line(/^working/);
  const wsUrl = await openInspector(script);
  t.match((await framesOfScript(wsUrl))[0], { functionName: 'wait' });
  await portCloses(t, wsUrl);
  await endsUnharmed(t, script);
});

t.test('an idle process has no stack', async (t) => {
  const script = idleScript(t);
  await script.line(/^up/);
  const wsUrl = await openInspector(script);
  const frames = await takeStack({ wsUrl, timeoutMs: 5000 });
  t.same(frames, []);
  t.match(formatStack(frames), /idle/);
  await portCloses(t, wsUrl);
  script.child.kill('SIGTERM');
  t.same(await script.ended, { code: 7, signal: null });
});

t.test('an idle process closes its inspector also for a caller who has given up', async (t) => {
  const given: [Partial<Parameters<typeof takeStack>[0]>, RegExp][] = [
    // Over before the process could be taken for idle.
    [{ timeoutMs: 1 }, /^no answer within 1 ms/],
    [{ signal: AbortSignal.abort(new Error('stopping')) }, /cancelled: stopping/],
  ];
  for (const [how, message] of given) {
    const script = idleScript(t);
    await script.line(/^up/);
    const wsUrl = await openInspector(script);
    await t.rejects(takeStack({ wsUrl, timeoutMs: 5000, ...how }), { message });
    await portCloses(t, wsUrl);
    script.child.kill('SIGTERM');
    t.same(await script.ended, { code: 7, signal: null });
  }
});

t.test('a process inside a native call: a clear answer in time, and no harm later', async (t) => {
  const fifo = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  // JavaScript until its inspector is open, then a native call that ends when somebody opens the other end.
  const script = busyScript(
    t,
    `writeSync(1, 'working\\n');
     while (url() === undefined) {}
     writeSync(1, 'natively\\n');
     openSync(process.argv[1], 'r');`,
    [fifo],
  );
  await script.line(/^working/);
  const wsUrl = await openInspector(script);
  await script.line(/^natively/);
  // Said before it is in there: whoever waits in the kernel is.
  await eventually(t, 'in the kernel', () => processStat(script.child.pid ?? 0)?.state === 'S');
  const answer = takeStack({ wsUrl, timeoutMs: 300 });
  await t.rejects(answer, new StackTimeout('no answer within 300 ms: the process is inside a native call'));
  closeSync(openSync(fifo, 'w'));
  await endsUnharmed(t, script);
});

t.test('nobody there, and a caller who lost interest', async (t) => {
  await t.rejects(takeStack({ wsUrl: 'ws://127.0.0.1:1/x', timeoutMs: 5000 }), { message: /closed its inspector/ });
  const open = join(t.testdir(), 'open');
  const script = busyScript(t, spinning, [open]);
  await script.line(/^working/);
  const wsUrl = await openInspector(script);
  await t.rejects(takeStack({ wsUrl, timeoutMs: 5000, signal: AbortSignal.abort(new Error('stopping')) }), {
    message: /cancelled: stopping/,
  });
  await portCloses(t, wsUrl);
  writeFileSync(open, '');
  await endsUnharmed(t, script);
});

t.test('what Node says on stderr', async (t) => {
  t.equal(inspectorUrlFromStderrLine('Debugger listening on ws://127.0.0.1:40001/aa-bb'), 'ws://127.0.0.1:40001/aa-bb');
  t.equal(inspectorUrlFromStderrLine('my own line: Debugger listening on ws://127.0.0.1:40001/aa-bb'), null);
  t.equal(inspectorUrlFromStderrLine('Debugger listening on ws://10.0.0.1:40001/aa-bb'), null, 'not from here');
  t.ok(isInspectorNotice('Debugger attached.'));
  t.notOk(isInspectorNotice('Debugger? attached'));
});
