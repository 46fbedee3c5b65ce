/** `celery.chord_unlock`: what it sends may be sent twice, and is marked so that one copy runs. */
import t from 'tap';
import { addBuiltinTasks } from '../../src/child/builtin-tasks.ts';
import type { ChildPort } from '../../src/child/child-port.ts';
import { PortPublisher } from '../../src/child/port-publisher.ts';
import type { PublishMeta } from '../../src/ipc/exchange.ts';
import { setPublisher } from '../../src/task/publisher.ts';
import { TaskRegistry } from '../../src/task/registry.ts';
import { TaskContext } from '../../src/task/task-context.ts';
import { childSettings } from '../pool/pool-bench.ts';
import { FakeHost, fakeRequest } from '../task/fake-request.ts';

const policy = { maxRetries: null, defaultRetryDelay: 1, retryFor: null };

const complete = { kind: 'complete', resultsJson: '[1, 2]' };

interface Ask {
  readonly ask: string;
}

/** The messages of one run, with every part of the chord ended. */
async function unlock(callback: unknown, joined: unknown = complete): Promise<readonly PublishMeta[]> {
  const registry = new TaskRegistry();
  const sent: PublishMeta[] = [];
  const port = {
    send: (_type: number, request: number, _number: number, text: string) => {
      const meta = JSON.parse(text) as PublishMeta | Ask;
      if (!('ask' in meta)) sent.push(meta);
      const value = 'ask' in meta && meta.ask === 'join' ? joined : null;
      setImmediate(() => publisher.onReply(request, { error: null, value }));
    },
    flush: () => {},
  };
  const publisher = new PortPublisher(port as unknown as ChildPort, childSettings(1, 1, []), () => registry);
  setPublisher(publisher);
  try {
    addBuiltinTasks({ registry, ask: publisher.askBackend, chordRetryIntervalSeconds: 1 });
    const task = registry.get('celery.chord_unlock');
    t.match(task?.options, { acksLate: true, rejectOnWorkerLost: true }, 'its death does not lose the body');
    const kwargs = { result: [[['a', null], null]] };
    const context = new TaskContext(fakeRequest({ args: ['group', callback], kwargs }), policy, new FakeHost());
    await (task!.fn as unknown as (context: TaskContext) => Promise<void>)(context);
    return sent;
  } finally {
    setPublisher(undefined);
  }
}

const task = (id: string) => ({ task: 'tsum', args: [], kwargs: {}, options: { task_id: id }, subtask_type: null, immutable: false });

t.test('each sending of a body has a mark of its own, all messages of it the same', async (t) => {
  const marks = new Set<unknown>();
  for (const _time of ['once', 'again']) {
    const [message, ...others] = await unlock(task('body'));
    t.match(message, { taskId: 'body', headers: { id: 'body', umbel_once: /^[\w-]{36}$/ } });
    t.strictSame(others, []);
    marks.add(message?.headers?.umbel_once);
  }
  t.equal(marks.size, 2);
  const tasks = [task('one'), task('two')];
  const messages = await unlock({
    task: 'celery.group',
    args: [],
    kwargs: { tasks },
    options: {},
    subtask_type: 'group',
    immutable: false,
  });
  t.strictSame(messages.map(({ taskId }) => taskId).sort(), ['one', 'two']);
  t.equal(new Set(messages.map(({ headers }) => headers?.umbel_once)).size, 1);
});

t.test('error callbacks of a body that cannot run are called in its name', async (t) => {
  const body = task('body');
  const failing = { ...body, options: { ...body.options, link_error: [task('errback')] } };
  const sent = await unlock(failing, { kind: 'failed', taskId: 'a', resultJson: '{"exc_type": "ValueError", "exc_message": ["boom"]}' });
  t.equal(sent.length, 1);
  t.match(sent[0], { taskId: 'errback', headers: { root_id: 'body', parent_id: 'body', argsrepr: "('body',)" } });
});
