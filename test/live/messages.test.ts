/** What becomes of messages: due times and expiry, priorities, unknown tasks, and bodies and headers nobody should have sent. */
import { deflateSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Broker } from '../../src/broker/broker.ts';
import type { App } from '../../src/client/umbel.ts';
import type { Message } from '../../src/protocol/message.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';
import type { LiveWorker } from './live-worker.ts';

interface Scene {
  readonly folder: LiveFolder;
  readonly client: App;
  readonly broker: Broker;
  startWorker(...args: string[]): Promise<LiveWorker>;
}

async function setUp(t: Test): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  const client = await folder.client();
  const broker = await folder.broker();
  await broker.declareQueue({ name: 'celery' });
  return { folder, client, broker, startWorker: (...args) => folder.worker(['-A', 'tasks.ts', '-c', '1', ...args]).ready() };
}

const outcome = ({ client }: Scene, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000, propagate: false });

/** A protocol-2 message with everything in it; parts are replaced to break it. */
function taskMessage(
  id: string,
  change: { headers?: Record<string, unknown>; properties?: Partial<Message['properties']>; body?: Buffer } = {},
): Message {
  return {
    headers: {
      lang: 'py',
      task: 'tasks.add',
      id,
      shadow: null,
      eta: null,
      expires: null,
      group: null,
      group_index: null,
      retries: 0,
      timelimit: [null, null],
      root_id: id,
      parent_id: null,
      argsrepr: '(1, 2)',
      kwargsrepr: '{}',
      origin: 'gen1@test',
      ignore_result: false,
      replaced_task_nesting: 0,
      stamped_headers: null,
      stamps: {},
      ...change.headers,
    },
    properties: { contentType: 'application/json', contentEncoding: 'utf-8', correlationId: id, ...change.properties },
    body: change.body ?? Buffer.from('[[1, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'),
  };
}

const toCelery = { exchange: '', routingKey: 'celery' };

void t.test('countdown, ETA and expiry', async (t) => {
  const scene = await setUp(t);
  const { folder, client } = scene;
  const worker = await scene.startWorker();
  const before = Date.now();
  const call = (...args: string[]) => folder.umbel(['call', 'tasks.add', '--args', '[1, 2]', ...args]);
  t.equal((await call('--countdown', '0.7', '--task-id', 'countdown')).stdout, 'countdown\n');
  const eta = new Date(Date.now() + 700);
  await call('--eta', eta.toISOString(), '--task-id', 'eta');
  await call('--eta', '2000-01-01T00:00:00', '--task-id', 'past');
  await call('--eta', '2000-01-01T00:00:00', '--expires', '2000-01-02T00:00:00Z', '--task-id', 'expired');
  await call('--countdown', '0.5', '--expires', '0.2', '--task-id', 'expires-while-waiting');
  await call('--expires', '60', '--task-id', 'in-time');
  for (const id of ['countdown', 'eta', 'past', 'in-time']) t.equal(await outcome(scene, id), 3, id);
  const startedMs = async (id: string): Promise<number> =>
    Date.parse((await worker.event('task.started', ({ taskId }) => taskId === id)).ts);
  t.ok((await startedMs('countdown')) - before >= 700, 'not before its countdown');
  t.ok((await startedMs('eta')) >= eta.getTime(), 'not before its ETA');
  for (const id of ['expired', 'expires-while-waiting']) {
    t.match(await outcome(scene, id), { state: 'REVOKED', remoteName: 'TaskRevokedError', message: 'expired' });
    t.match(await worker.event('task.revoked', ({ taskId }) => taskId === id), {
      message: `Discarding revoked task: tasks.add[${id}]`,
      expired: true,
    });
    t.equal(worker.all('task.started').filter(({ taskId }) => taskId === id).length, 0);
  }
  t.equal(await client.result('expired').state(), 'REVOKED');
  await worker.stop();
});

/** Was the first worker gone when the message became due? On a busy machine that takes a later due time. */
async function outlivesWorker(t: Test, delayMs: number): Promise<boolean> {
  const scene = await setUp(t);
  const dueAtMs = Date.now() + delayMs;
  await scene.client.call({ task: 'tasks.add', args: [1, 2], kwargs: {}, options: { taskId: 'later', eta: new Date(dueAtMs) } });
  const first = await scene.startWorker();
  await scene.client.call({ task: 'tasks.add', args: [1, 1], kwargs: {}, options: { taskId: 'now' } });
  t.equal(await outcome(scene, 'now'), 2);
  t.strictSame(await first.stop(), { code: 0, signal: null });
  if (Date.now() >= dueAtMs) return false;
  const second = await scene.startWorker();
  t.equal(await outcome(scene, 'later'), 3);
  const started = await second.event('task.started', ({ taskId }) => taskId === 'later');
  t.ok(Date.parse(started.ts) >= dueAtMs, 'not before its time');
  t.equal(first.all('task.started').length, 1);
  await second.stop();
  return true;
}

void t.test('a due time outlives the worker', async (t) => {
  let delayMs = 1200;
  while (!(await outlivesWorker(t, delayMs))) delayMs *= 4;
});

void t.test('higher priorities first', async (t) => {
  const scene = await setUp(t);
  const priorities = [0, 9, 3, 6, 3, 9];
  for (const [at, priority] of priorities.entries())
    await scene.client.call({ task: 'tasks.add', args: [at, 0], kwargs: {}, options: { taskId: `${priority}-${at}`, priority } });
  const worker = await scene.startWorker('--prefetch-multiplier', '1', '-O', 'fair');
  const started = await worker.count('task.started', priorities.length);
  t.strictSame(
    started.map(({ taskId }) => taskId),
    ['9-1', '9-5', '6-3', '3-2', '3-4', '0-0'],
  );
  await worker.stop();
});

void t.test('a module without tasks is said', async (t) => {
  const scene = await setUp(t);
  scene.folder.write('none.ts', 'export const answer = 42;\n');
  const worker = await scene.folder.worker(['-A', 'none.ts', '-c', '1']).ready();
  t.match(await worker.event('worker.no-tasks'), { level: 'warning', message: /no task is exported by .*none\.ts$/ });
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('an unknown task fails for whoever waits', async (t) => {
  const scene = await setUp(t);
  const worker = await scene.startWorker();
  const called = await scene.folder.umbel(['call', 'tasks.nobody', '--wait', '--task-id', 'unknown']);
  t.match(called, { status: 1, stderr: /^FAILURE: NotRegistered: '?tasks\.nobody'?\n/ });
  t.match(await worker.event('task.unregistered'), {
    level: 'error',
    taskId: 'unknown',
    message: /^Received unregistered task of type 'tasks\.nobody'\.\nThe message has been ignored and discarded\./,
  });
  t.equal((await scene.folder.umbel(['call', 'tasks.add', '--args', '[2, 2]', '--wait'])).stdout, '4\n');
  await worker.stop();
});

void t.test('messages that cannot be run are dropped with a line, and the next one runs', async (t) => {
  const scene = await setUp(t);
  const { broker } = scene;
  const worker = await scene.startWorker();
  const bad: readonly (readonly [title: string, message: Message, event: string, level: string, text: RegExp])[] = [
    ['no JSON', taskMessage('bad', { body: Buffer.from('[[1, 2') }), 'message.undecodable', 'critical', /Can't decode message body/],
    [
      'no UTF-8',
      taskMessage('bad', { body: Buffer.from([0x5b, 0xff, 0xfe, 0x5d]) }),
      'message.undecodable',
      'critical',
      /Can't decode message body/,
    ],
    ['another shape', taskMessage('bad', { body: Buffer.from('"text"') }), 'message.invalid', 'error', /Received invalid task message/],
    ['args no list', taskMessage('bad', { body: Buffer.from('[7, {}, {}]') }), 'message.invalid', 'error', /Received invalid task message/],
    [
      'pickle',
      taskMessage('bad', {
        properties: { contentType: 'application/x-python-serialize', contentEncoding: 'binary' },
        body: Buffer.from([0x80, 2, 0x4e, 0x2e]),
      }),
      'message.invalid',
      'error',
      /Refusing to deserialize untrusted content of type pickle \(application\/x-python-serialize\)/,
    ],
    [
      'yaml',
      taskMessage('bad', { properties: { contentType: 'application/x-yaml' } }),
      'message.invalid',
      'error',
      /untrusted content of type yaml \(application\/x-yaml\)/,
    ],
    [
      'unknown compression',
      taskMessage('bad', { headers: { compression: 'application/x-nothing' } }),
      'message.undecodable',
      'critical',
      /Can't decode message body.+x-nothing/,
    ],
    [
      'broken compression',
      taskMessage('bad', { headers: { compression: 'application/x-gzip' }, body: Buffer.from('not compressed') }),
      'message.undecodable',
      'critical',
      /Can't decode message body/,
    ],
    [
      'no task',
      {
        headers: { hello: 'world' },
        properties: { contentType: 'application/json', contentEncoding: 'utf-8' },
        body: Buffer.from('{"x": 1}'),
      },
      'message.unknown',
      'warning',
      /Received and deleted unknown message/,
    ],
    [
      'bad ETA',
      taskMessage('bad', { headers: { eta: 'soon' } }),
      'message.invalid',
      'error',
      /Received invalid task message: invalid ETA value 'soon'/,
    ],
    [
      'bad expiry',
      taskMessage('bad', { headers: { expires: { not: 'a time' } } }),
      'message.invalid',
      'error',
      /Received invalid task message: invalid expires value/,
    ],
  ];
  for (const [at, [title, message, event, level, text]] of bad.entries()) {
    const since = worker.now();
    await broker.publish(message, toCelery);
    const line = await worker.event(event, () => true, since);
    t.match(line, { level, message: text }, title);
    t.match(line, { message: /\nbody: .*\n.*\n {2}delivery_info:.* headers=/ }, `${title}: it is shown`);
    await broker.publish(taskMessage(`good-${at}`), toCelery);
    t.equal(await outcome(scene, `good-${at}`), 3, `after ${title}`);
  }
  t.strictSame(worker.all('child.lost'), []);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.equal(await broker.countReady('celery'), 0, 'none of them stays');
});

void t.test('compressed messages, and messages of protocol 1', async (t) => {
  const scene = await setUp(t);
  const { broker } = scene;
  const worker = await scene.startWorker();
  const body = Buffer.from('[[20, 22], {}, {}]');
  await broker.publish(taskMessage('compressed', { headers: { compression: 'application/x-gzip' }, body: deflateSync(body) }), toCelery);
  t.equal(await outcome(scene, 'compressed'), 42);

  const one = {
    task: 'tasks.add',
    id: 'one',
    args: [1],
    kwargs: { y: 41 },
    retries: 0,
    eta: null,
    expires: null,
    utc: true,
    timelimit: [null, null],
  };
  const properties = { contentType: 'application/json', contentEncoding: 'utf-8', correlationId: 'one' };
  await broker.publish({ headers: {}, properties, body: Buffer.from(JSON.stringify(one)) }, toCelery);
  t.equal(await outcome(scene, 'one'), 42);
  const unknown = { ...one, id: 'one-unknown', task: 'tasks.nobody' };
  await broker.publish({ headers: {}, properties, body: Buffer.from(JSON.stringify(unknown)) }, toCelery);
  t.match(await outcome(scene, 'one-unknown'), { remoteName: 'NotRegistered' });
  const called = {
    ...one,
    id: 'one-linked',
    callbacks: [{ task: 'tasks.add', args: [8], kwargs: {}, options: { task_id: 'linked' }, subtask_type: null, immutable: false }],
  };
  await broker.publish({ headers: {}, properties, body: Buffer.from(JSON.stringify(called)) }, toCelery);
  t.equal(await outcome(scene, 'one-linked'), 42);
  t.equal(await outcome(scene, 'linked'), 50);
  await worker.stop();
});

void t.test('task.protocol = 1 sends messages of protocol 1', async (t) => {
  const scene = await setUp(t);
  scene.folder.write('umbel.toml', '[task]\nprotocol = 1\n');
  const worker = await scene.startWorker();
  t.equal((await scene.folder.umbel(['call', 'tasks.add', '--args', '[2, 2]', '--wait'])).stdout, '4\n');
  await worker.stop();
});
