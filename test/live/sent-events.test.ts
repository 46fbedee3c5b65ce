/**
 * Events as a program of one's own hears them, on every broker: `task-sent` of a client, of tasks, of retries and of what follows from them; tasks
 * that send no events; a State. `celery events --dump` of Python reads the same.
 */
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import t from 'tap';
import { EventReceiver, type ReceivedEvent, State, taskHandle } from '../../src/client/umbel.ts';
import { inGoodTime } from '../in-good-time.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { brokerKinds, openBroker, openProxy } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const waitMs = 30_000;

const tasks = `
import { existsSync } from 'node:fs';
import { task } from 'umbel';
export const add = task({ name: 'proj.add' }, (a, b) => a + b);
export const parent = task({ name: 'proj.parent', bind: true }, async (context) => {
  if (context.retries === 0) throw await context.retry({ countdown: 0 });
  await context.sendEvent('proj-progress', { percent: 50 });
  await add.applyAsync({ args: [2, 3], taskId: 'child' });
});
export const waits = task({ name: 'proj.waits' }, async (file) => {
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20));
});
export const fail = task({ name: 'proj.fail' }, () => { throw new Error('no'); });
export const quiet = task({ name: 'proj.quiet', sendEvents: false }, () => {});
`;

const root = new URL('../../', import.meta.url);

/** Behind a program that would go on: once it has said something it stops what it has started, and nothing else may keep it. */
const endingWithTheFirstLine = `
const say = console.log;
console.log = (line) => {
  say(line);
  void receiver.stop().then(() => app.stop());
};
`;

/** Events as they come, and a promise of the first that fits. */
class Heard {
  readonly events: ReceivedEvent[] = [];
  #wake = (): void => {};

  add(event: ReceivedEvent): void {
    this.events.push(event);
    this.#wake();
  }

  until(what: string, fits: (event: ReceivedEvent) => boolean): Promise<ReceivedEvent> {
    return inGoodTime(this.#found(fits), () => `There must be ${what}; ${this.#story()}.`, waitMs);
  }

  async #found(fits: (event: ReceivedEvent) => boolean): Promise<ReceivedEvent> {
    for (;;) {
      const found = this.events.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  first(kind: string, id: string, fits: (event: ReceivedEvent) => boolean = () => true): Promise<ReceivedEvent> {
    return this.until(`${kind} of ${id}`, (event) => event.type === kind && event.uuid === id && fits(event));
  }

  #story(): string {
    return `the last ones were ${this.events
      .slice(-10)
      .map(({ type, uuid }) => (uuid === undefined ? type : `${type} of ${uuid}`))
      .join(', ')}`;
  }
}

for (const kind of brokerKinds) {
  void t.test(kind, async (t) => {
    const folder = new LiveFolder(t);
    const place = await openBroker(t, kind, folder);
    const broker = place.url;
    const proxied = await openProxy(t, place);
    folder.write('tasks.mjs', tasks);
    const app = await startedApp(t, { broker, backend: 'disabled', sendSentEvent: true });
    const heard = new Heard();
    const state = new State();
    const failed: string[] = [];
    const receiver = new EventReceiver(app, {
      '*': (event) => {
        state.event(event);
        heard.add(event);
      },
      'task-rejected': ({ uuid }) => failed.push(String(uuid)),
    });
    await receiver.start();
    t.teardown(() => receiver.stop());
    const worker = await folder
      .worker(['-A', folder.file('tasks.mjs'), '-b', proxied?.url ?? broker, '-c', '1', '-E', '-n', 'w@here'], {
        env: { UMBEL_TASK_SEND_SENT_EVENT: 'true' },
      })
      .ready();

    await taskHandle<[], void>('proj.parent').applyAsync({ taskId: 'top', link: taskHandle('proj.add').s(1).set({ taskId: 'after' }) });
    // The worker may have sent the retry before the client's own event is heard.
    const top = await heard.first('task-sent', 'top', ({ retries }) => retries === 0);
    t.same(Object.keys(top).slice(0, -1), [
      ...['hostname', 'utcoffset', 'pid', 'clock', 'uuid', 'root_id', 'parent_id', 'name', 'args', 'kwargs', 'retries', 'eta', 'expires'],
      ...['queue', 'exchange', 'routing_key', 'timestamp', 'type'],
    ]);
    t.match(top, {
      pid: process.pid,
      hostname: new RegExp(`^gen${process.pid}@`),
      name: 'proj.parent',
      queue: 'celery',
      routing_key: 'celery',
    });
    const child = await heard.first('task-sent', 'child');
    t.match(child, { name: 'proj.add', args: '(2, 3)', parent_id: 'top', root_id: 'top', retries: 0 });
    t.match(await heard.first('task-sent', 'top', ({ retries }) => retries === 1), { name: 'proj.parent' });
    t.match(await heard.first('task-sent', 'after'), { name: 'proj.add', parent_id: 'top' });
    t.match(await heard.first('proj-progress', 'top'), { percent: 50, hostname: 'w@here', pid: child.pid });
    t.not(child.pid, worker.pid, 'a task is sent by the child it runs in');
    t.equal(child.hostname, `gen${child.pid}@${String(top.hostname).split('@')[1]}`);
    await heard.first('task-succeeded', 'after');
    await heard.first('task-succeeded', 'child');
    t.match(state.workers.get('w@here'), { pid: worker.pid, sw_ident: 'umbel' });
    t.same(
      state.aliveWorkers().map(({ hostname }) => hostname),
      ['w@here'],
    );
    t.match(state.tasks.get('child'), { state: 'SUCCESS', name: 'proj.add', client: child.hostname, worker: 'w@here', result: '5' });
    // A retry is sent by the run before it, and names that as its parent, as in Celery.
    t.same(
      state
        .childrenOf('top')
        .map(({ uuid }) => uuid)
        .sort(),
      ['after', 'child', 'top'],
    );

    await t.test('what sends no events, the log tells of', async (t) => {
      await taskHandle('proj.quiet').applyAsync({ taskId: 'hush' });
      await worker.event('task.succeeded', ({ taskId }) => taskId === 'hush');
      await taskHandle('proj.add').applyAsync({ args: [1, 1], taskId: 'loud' });
      await heard.first('task-succeeded', 'loud');
      // The client says it once the broker has the message: the worker may have been faster.
      for (const id of ['hush', 'loud']) await heard.first('task-sent', id);
      const types = (id: string): unknown[] => heard.events.filter(({ uuid }) => uuid === id).map(({ type }) => type);
      t.same(types('hush'), ['task-sent']);
      t.same(types('loud').sort(), ['task-received', 'task-sent', 'task-started', 'task-succeeded']);
    });

    await t.test('the program of docs/operating.md', { skip: kind === 'sqlite' ? false : 'once is enough' }, async (t) => {
      const page = readFileSync(new URL('docs/operating.md', root), 'utf8');
      const program = /^```ts\n(import \{ App, EventReceiver, State \}.*?)^```$/ms.exec(page)?.[1] ?? '';
      folder.write('program.ts', `${program.replace('redis://localhost', broker)}${endingWithTheFirstLine}`);
      mkdirSync(folder.file('node_modules'));
      symlinkSync(root, folder.file('node_modules/umbel'));
      const ended = folder.run(process.execPath, ['program.ts']);
      // It asks the workers to say that they are there, once it listens.
      await heard.until('the answer to a wake-up', ({ freq }) => freq === 5);
      await taskHandle('proj.fail').applyAsync({ taskId: 'fails' });
      t.match(await ended, { status: 0, stdout: "proj.fail failed: Error('no')\n", stderr: '' });
    });

    await t.test('celery events --dump', { skip: kind === 'sqlite' ? 'Python has no events there' : celeryMissing() }, async (t) => {
      const python = new PythonCelery(t, `from celery import Celery\napp = Celery('proj', broker='${broker}')\n`);
      const dump = python.script(`
import threading
class Out:
    wanted = ['starting capture', ' heartbeat: ', 'task sent', 'task succeeded']
    def write(self, text):
        for found in [one for one in self.wanted if one in text]:
            self.wanted.remove(found)
            say(text)
    def flush(self): pass
from celery.events.dumper import evdump
threading.Thread(target=evdump, kwargs={'app': app, 'out': Out()}, daemon=True).start()
sys.stdin.readline()
`);
      t.match(await dump.next(), /starting capture/);
      // On Redis it asks the workers to say that they are there before it listens: only what it has heard itself proves that it does.
      t.match(await dump.next(), /^w@here \[.*\] heartbeat: /);
      await taskHandle('proj.add').applyAsync({ args: [4, 4], taskId: 'dumped' });
      const lines = [String(await dump.next()), String(await dump.next())].sort();
      t.match(lines[0], /^gen\d+@\S+ \[.*\] task sent: proj\.add\(dumped\) args=\(4, 4\) kwargs=\{\} .*queue=celery, .*routing_key=celery/);
      t.match(lines[1], /^w@here \[.*\] task succeeded: proj\.add\(dumped\) args=\(4, 4\)/);
      dump.say('done');
    });
    await t.test('what happens while the broker is away is told when it is back', { skip: proxied === null }, async (t) => {
      await taskHandle('proj.waits').applyAsync({ args: [folder.file('go')], taskId: 'across' });
      await heard.first('task-started', 'across');
      proxied?.proxy.freeze();
      proxied?.proxy.cut();
      await worker.event(kind === 'redis' ? 'redis.lost' : 'amqp.lost');
      folder.write('go', '');
      await worker.event('task.succeeded', ({ taskId }) => taskId === 'across');
      t.notOk(heard.events.some(({ type, uuid }) => type === 'task-succeeded' && uuid === 'across'));
      proxied?.proxy.thaw();
      t.match(await heard.first('task-succeeded', 'across'), { hostname: 'w@here' });
    });
    t.match(await worker.stop(), { code: 0 });
  });
}
