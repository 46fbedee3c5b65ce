/** A debugger for one child, asked for by `umbel ctl debug` and by a task with `rdb.setTrace()`; `umbel ctl dump`. */
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { inGoodTime } from '../in-good-time.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

t.setTimeout(120_000);

const tasks = `
import { rdb, task } from 'umbel';
export const add = task((a: number, b: number) => a + b);
export const traced = task((secret: number) => {
  rdb.setTrace();
  return secret + 1;
});
`;

interface Scene {
  readonly folder: LiveFolder;
  readonly worker: LiveWorker;
  ctl(...words: string[]): ReturnType<LiveFolder['umbel']>;
}

async function scene(t: Test, words: readonly string[], env: Readonly<Record<string, string>>): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  const worker = folder.worker(['-A', 'tasks.ts', '-c', '1', ...words], { env: { UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock', ...env } });
  await worker.ready();
  return { folder, worker, ctl: (...more) => folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), '-t', '30', ...more]) };
}

/** The client of a debugger: calls of the inspector's protocol, and its events. */
class Debugger {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  readonly #events: { readonly method: string; readonly params: unknown }[] = [];
  #wake = (): void => {};
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as { id?: number; method?: string; params?: unknown; result?: unknown };
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message.result);
      else if (message.method !== undefined) this.#events.push({ method: message.method, params: message.params });
      this.#wake();
    });
  }

  static async attach(url: string): Promise<Debugger> {
    const socket = new WebSocket(url);
    const open = new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error(`nobody listens on ${url}`)));
    });
    await inGoodTime(open, () => `${url} must be opened or refused`);
    return new Debugger(socket);
  }

  call(method: string, params: unknown = {}): Promise<unknown> {
    const id = ++this.#calls;
    this.#socket.send(JSON.stringify({ id, method, params }));
    const answer = new Promise<unknown>((resolve) => this.#waiting.set(id, resolve));
    return inGoodTime(answer, () => `the inspector must answer ${method}`);
  }

  async event(method: string): Promise<unknown> {
    for (;;) {
      const found = this.#events.find((event) => event.method === method);
      if (found !== undefined) return found.params;
      await inGoodTime(new Promise<void>((resolve) => (this.#wake = resolve)), () => `the inspector must say ${method}`);
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await inGoodTime(closed, () => 'the connection to the inspector must be closed');
  }
}

void t.test('umbel ctl debug and dump', async (t) => {
  const { worker, ctl } = await scene(t, ['-n', 'w@here'], { UMBEL_RDBSIG: '1' });
  const opened = await ctl('debug', '1');
  t.match(opened, {
    status: 0,
    stdout: /w@here: OK\n\s+the inspector of PoolChild-1 listens on ws:\/\/127\.0\.0\.1:\d+\/[\s\S]*node inspect 127\.0\.0\.1:\d+/,
  });
  const url = /ws:\/\/\S+/.exec(opened.stdout)?.[0] ?? '';
  const attached = await Debugger.attach(url);
  t.match(await attached.call('Runtime.evaluate', { expression: 'process.pid' }), { result: { value: worker.children()[0] } });
  t.match(await ctl('debug', '1'), { stdout: new RegExp(url.replaceAll('.', '\\.')) }, 'it is open already');
  await attached.close();
  t.match((await ctl('debug', '1', 'close')).stdout, /the inspector is closed/);
  await worker.event('inspector.closed');
  t.match((await ctl('debug', '1', 'close')).stdout, /the inspector is not open/);
  await t.rejects(Debugger.attach(url), /nobody listens/);

  t.match((await ctl('dump')).stdout, /written to the log/);
  await worker.event('worker.dump', ({ message }) => /MainProcess \(pid \d+\) is running/.test(message));
  await worker.event('child.dump', ({ message }) => /PoolChild-1 \(pid \d+\) is .* and idle/.test(message));
  t.match((await ctl('debug', '7')).stdout, /ERROR\n\s+.*index must be that of a child, 1 to 1, got 7/);
  t.match(await ctl('debug'), { status: 64, stderr: /usage: umbel ctl debug <index> \[close\]: index is missing/ });
  t.match(await worker.stop(), { code: 0 });
});

void t.test('where it is refused', async (t) => {
  const { worker, ctl } = await scene(t, [], {});
  t.match((await ctl('debug', '1')).stdout, /ERROR\n\s+.*worker\.enable_inspector must be true for that, got false/);
  t.match(await worker.stop(), { code: 0 });
});

void t.test('rdb.setTrace() stops the task until a debugger is attached, and lets it go on', async (t) => {
  const { folder, worker } = await scene(t, [], {});
  const client = await folder.client();
  const result = await client.call<number>({ task: 'tasks.traced', args: [41], kwargs: {}, options: {} });
  const { message } = await worker.event('task.output', ({ message }) => /^Remote Debugger:\d+: attach with/.test(message));
  const port = /^Remote Debugger:(\d+)/.exec(message)?.[1] ?? '';
  t.ok(Number(port) >= 6900 && Number(port) < 7000, `the first free port from 6900 on: ${port}`);
  t.match(message, new RegExp(`node inspect 127\\.0\\.0\\.1:${port}.*pid ${worker.children()[0]}`));
  const [target] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as { webSocketDebuggerUrl: string }[];
  const attached = await Debugger.attach(target?.webSocketDebuggerUrl ?? '');
  await attached.call('Debugger.enable');
  await attached.call('Runtime.runIfWaitingForDebugger');
  const { callFrames } = (await attached.event('Debugger.paused')) as { callFrames: { functionName: string; callFrameId: string }[] };
  t.equal(callFrames[0]?.functionName, 'setTrace');
  const frame = callFrames[1]?.callFrameId;
  t.match(await attached.call('Debugger.evaluateOnCallFrame', { callFrameId: frame, expression: 'secret = 99' }), {
    result: { value: 99 },
  });
  await attached.call('Debugger.resume');
  t.equal(await result.get({ timeoutMs: 60_000 }), 100, 'it went on, with what the debugger has changed');
  await attached.close();
  t.match(await worker.stop(), { code: 0 });
});
