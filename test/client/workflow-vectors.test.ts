/**
 * Workflows called here are the messages that Python Celery sends for the same calls: compared with what was captured of Celery 5.2.6 and
 * 5.6.3, key by key and in the same order, ids numbered as they appear.
 */
import t, { type Test } from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Client } from '../../src/client/client.ts';
import { QueueTable } from '../../src/producer/queue-table.ts';
import type { Message } from '../../src/protocol/message.ts';
import { setPublisher } from '../../src/task/publisher.ts';
import { taskHandle } from '../../src/task/task.ts';
import { chain, chord, group } from '../../src/task/workflow.ts';
import { type AmqpMessage, loadVectors, messagesOf, type TaskVector } from '../protocol/vectors.ts';

type Numbers = number[];
const add = taskHandle<Numbers, number>('proj.add');
const mul = taskHandle<Numbers, number>('proj.mul');
const xsum = taskHandle<Numbers, number>('proj.xsum');
const ident = taskHandle<unknown[], unknown>('proj.ident');
const onErr = taskHandle<string[], void>('proj.on_err');

/** Results come as replies, so that every task says where to. */
class ReplyBackend extends MemoryBackend {
  async openReplies(): Promise<string> {
    return '00000000-0000-4000-8000-00000000abcd';
  }
}

class RecordingBroker extends MemoryBroker {
  readonly sent: Message[] = [];

  override async publish(message: Message): Promise<void> {
    this.sent.push(message);
  }
}

/** The call that a vector says in Python. */
const calls: Readonly<Record<string, () => Promise<unknown>>> = {
  link: () => add.applyAsync({ args: [1, 1], link: mul.s(10) }),
  'link-two': () => add.applyAsync({ args: [1, 1], link: [mul.s(10), ident.si('x').set({ queue: 'other' })] }),
  'link-error': () => add.applyAsync({ args: [1, 1], linkError: onErr.s() }),
  'chain-of-3': () => chain(add.s(1, 2), mul.s(3), ident.s()).applyAsync({ taskId: '00000000-0000-4000-8000-000000000015' }),
  'chain-links': () => chain(add.s(1, 2), mul.si(3, 4)).applyAsync({ linkError: onErr.s(), link: ident.s() }),
  'group-of-3': () => group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).applyAsync({ taskId: '00000000-0000-4000-8000-000000000016' }),
  map: () =>
    add
      .map([
        [1, 1],
        [2, 2],
      ])
      .delay(),
  starmap: () =>
    add
      .starmap([
        [1, 1],
        [2, 2],
      ])
      .delay(),
  chunks: () =>
    add
      .chunks(
        [
          [1, 1],
          [2, 2],
          [3, 3],
        ],
        2,
      )
      .delay(),
  chord: () => chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync({ taskId: '00000000-0000-4000-8000-000000000050' }),
  'chord-of-chains': () => chord([add.s(1, 1).pipe(mul.s(2)), add.s(2, 2).pipe(mul.s(3))], xsum.s().pipe(ident.s())).delay(),
  'group-then-task': () => group(add.s(1, 1), add.s(2, 2)).pipe(xsum.s()).delay(),
  'chain-ending-in-group': () =>
    ident
      .s(5)
      .pipe(group(add.s(1), add.s(2)))
      .delay(),
  'chain-with-chord-inside': () =>
    ident
      .s(5)
      .pipe(group(add.s(1), add.s(2)))
      .pipe(xsum.s())
      .pipe(ident.s())
      .delay(),
  'chord-single': () => chord([add.s(1, 1)], xsum.s()).applyAsync({ countdown: 5 }),
  'protocol1-plain': () => add.applyAsync({ args: [2, 3] }),
  'protocol1-chain': () => chain(add.s(1, 2), mul.s(3), ident.s()).delay(),
  'protocol1-group': () => group(add.s(1, 1), add.s(2, 2)).delay(),
  stamped: () =>
    add
      .s(1, 2)
      .stamp({ stamp1: 'a', stamp2: ['b', 'c'] })
      .delay(),
};

/** What of a message is compared, as text. */
function shown({ headers, body }: { headers: unknown; body: unknown }, version: string): string {
  if (!Array.isArray(body)) return shownOld(body as Record<string, unknown>, version);
  const {
    task,
    id,
    group: groupId,
    group_index,
    retries,
    timelimit,
    root_id,
    parent_id,
    argsrepr,
    kwargsrepr,
    eta,
    ...more
  } = headers as Record<string, unknown>;
  // 5.2 numbers the members of chords only, newer ones those of groups too.
  const isPart = (body as [unknown, unknown, { chord: unknown }])[2].chord !== null;
  const index = version === '5.2.6' && !isPart ? null : group_index;
  const stamps = version === '5.2.6' ? null : [more.stamped_headers, more.stamps];
  // There are no tuples here.
  const textOfKwargs = String(kwargsrepr).replaceAll('(', '[').replaceAll(')', ']');
  return JSON.stringify([
    { task, id, groupId, index, retries, timelimit, root_id, parent_id, argsrepr, kwargs: textOfKwargs, eta, stamps },
    body,
  ]);
}

/** Of protocol 1. */
function shownOld({ group_index, ...body }: Record<string, unknown>, version: string): string {
  return JSON.stringify([{ ...body, group_index: version === '5.2.6' && body.chord === null ? null : group_index }]);
}

/** Ids numbered in the order in which they appear, times without their digits. */
function comparable(texts: readonly string[]): string[] {
  const numbers = new Map<string, string>();
  return texts.map((text) =>
    text
      .replaceAll(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, (id) => {
        const number = numbers.get(id) ?? `id ${numbers.size}`;
        numbers.set(id, number);
        return number;
      })
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00/g, 'a time'),
  );
}

async function compare(t: Test, vectors: readonly TaskVector<AmqpMessage>[], version: string, not: readonly string[] = []): Promise<void> {
  t.teardown(() => setPublisher(undefined));
  for (const vector of vectors) {
    const call = calls[vector.name];
    if (call === undefined || not.includes(vector.name)) continue;
    const broker = new RecordingBroker();
    const taskProtocol = vector.name.startsWith('protocol1') ? 1 : 2;
    const queues = new QueueTable({ queues: [], defaultQueue: { name: 'celery' }, createMissing: true });
    const client = new Client({ broker, backend: new ReplyBackend({ resultExpiresMs: null }), routing: { queues }, taskProtocol });
    await client.start();
    await call();
    const ours = broker.sent.map(({ headers, body }) => shown({ headers, body: JSON.parse(body.toString()) }, version));
    const theirs = messagesOf(vector).map(({ headers, body_base64 }) =>
      shown({ headers, body: JSON.parse(Buffer.from(body_base64, 'base64').toString()) }, version),
    );
    t.strictSame(comparable(ours), comparable(theirs), `${vector.name} (${version})`);
    await client.stop();
  }
}

t.test('Celery 5.2.6', async (t) => {
  const vectors = loadVectors(t, 'tasks-amqp.json') as TaskVector<AmqpMessage>[] | null;
  if (vectors !== null) await compare(t, vectors, '5.2.6');
});

t.test('Celery 5.6.3', async (t) => {
  const file = loadVectors(t, 'tasks-amqp-5.6.3.json') as { vectors: TaskVector<AmqpMessage>[] } | null;
  // 5.6 puts the id of the group into the options of the body as well, which no worker needs; what is sent here is what 5.2 sends.
  if (file !== null) await compare(t, file.vectors, '5.6.3', ['chord', 'chord-of-chains', 'chain-with-chord-inside']);
});
