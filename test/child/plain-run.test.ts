/** A task whose message came in the plain form sees what it would see of any message. */
import t from 'tap';
import { isPrepared, prepare, preparePlain, run } from '../../src/child/run-task.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { defineTask, type TaskFunction, TaskRegistry } from '../../src/task/registry.ts';
import type { TaskContext } from '../../src/task/task-context.ts';
import { resolveTaskOptions } from '../../src/task/task-options.ts';
import { childSettings } from '../pool/pool-bench.ts';
import { FakeHost } from '../task/fake-request.ts';

const message = encodeTask({
  task: 'tasks.it',
  id: 'id-1',
  args: [1, 'é'],
  kwargs: {},
  origin: 'gen1@test',
  group: 'g',
  groupIndex: 2,
  parentId: 'p',
  retries: 3,
  replyTo: 'r',
  priority: 6,
  headers: { mine: 'yes' },
});
const envelope = encodeEnvelope(message, { exchange: 'x', routingKey: 'celery', deliveryTag: 'tag-1' });
const meta = {
  headers: message.headers,
  properties: message.properties,
  deliveryInfo: { exchange: 'x', routing_key: 'celery', priority: 6, redelivered: false },
};

function registry(): TaskRegistry {
  const registry = new TaskRegistry();
  const fn = (context: TaskContext): unknown => {
    const { id, name, args, kwargs, retries, deliveryInfo, rootId, parentId, group, groupIndex, correlationId, replyTo } = context;
    const { eta, expires, timelimit, origin, shadow, headers, ignoreResult, callbacks, errbacks, chain, chord, hostname } = context;
    return [
      [id, name, args, kwargs, retries, deliveryInfo, rootId, parentId, group, groupIndex, correlationId, replyTo],
      [eta, expires, timelimit, origin, shadow, headers, ignoreResult, callbacks, errbacks, chain, chord, hostname],
    ];
  };
  const options = resolveTaskOptions({ bind: true, typing: false }, 'tasks.it');
  registry.add(defineTask({ name: 'tasks.it', fn: fn as TaskFunction, options, file: 'tasks.ts', sources: () => [] }));
  return registry;
}

t.test('the whole context', async (t) => {
  const settings = childSettings(1, 1, []);
  const [plain, full] = [preparePlain(envelope, registry()), prepare(meta, message.body, registry())];
  if (!isPrepared(plain) || !isPrepared(full)) throw new Error('both must be prepared');
  const host = new FakeHost();
  const [ofPlain, ofFull] = await Promise.all([run(plain, settings, host), run(full, settings, host)]);
  t.equal(ofPlain.kind, 'succeeded');
  t.strictSame(JSON.parse(ofPlain.resultJson), JSON.parse(ofFull.resultJson));
  t.match(JSON.parse(ofPlain.resultJson), [['id-1', 'tasks.it', [1, 'é'], {}, 3, { exchange: 'x', routingKey: 'celery', priority: 6 }]]);
  t.match(JSON.parse(ofPlain.resultJson)[1][5], { mine: 'yes' });
});

t.test('what is not plain is a bad message, and not the end of the child', async (t) => {
  t.match(preparePlain('{}', registry()), { kind: 'ended', meta: { kind: 'invalid' } });
  t.match(preparePlain(envelope.replace('"tasks.it"', '"tasks.none"'), registry()), { kind: 'ended', meta: { kind: 'invalid' } });
});
