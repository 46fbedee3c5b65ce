/** What happens to a message on receipt: one table of messages and decisions (messages.md §4 and §7, worker-behaviour.md §1). */
import t from 'tap';
import { PlainDelivery } from '../../src/broker/plain-delivery.ts';
import { type Decision, decide } from '../../src/consumer/strategy.ts';
import type { Message } from '../../src/protocol/message.ts';
import { readPlainTask } from '../../src/protocol/plain-task.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { deliveryOf, taskOffer } from './doubles.ts';

const now = Date.parse('2026-11-20T12:00:00Z');
const offer = taskOffer('tasks.add');
const params = {
  tasks: new Map([[offer.name, offer]]),
  acceptContent: ['json'],
  isRevoked: ({ id }: { readonly id: string }) => id === 'revoked',
  notBeforeMs: (_delivery: unknown, id: string) => (id === 'suspect' ? now + 4000 : 0),
  now: () => now,
};

const headers = { task: 'tasks.add', id: 'one' };
const first = { task: 'tasks.add', id: 'one', args: [1, 2], kwargs: {} };
const asJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const type = (contentType: string): Message['properties'] => ({ contentType, contentEncoding: 'utf-8' });

type Row = readonly [
  title: string,
  message: Partial<Message>,
  decision: { readonly kind: Decision['kind'] } & Readonly<Record<string, unknown>>,
];

const rows: readonly Row[] = [
  // Good messages.
  ['protocol 2', { headers }, { kind: 'run', header: { protocol: 2, task: 'tasks.add', id: 'one' }, offer }],
  ['protocol 2 with a body nobody could read: the child will see', { headers, body: Buffer.from('[[') }, { kind: 'run' }],
  ['protocol 1', { headers: {}, body: asJson(first) }, { kind: 'run', header: { protocol: 1, id: 'one' } }],
  ['protocol 1 with an eta in local time', { headers: {}, body: asJson({ ...first, eta: '2026-11-20T11:00:00' }) }, { kind: 'run' }],
  ['hybrid of old clients', { headers, body: asJson(first) }, { kind: 'run', header: { protocol: 2, id: 'one' } }],
  ['an id that is a number in text', { headers: { ...headers, id: '17' } }, { kind: 'run', header: { id: '17' } }],

  // Time.
  ['eta to come', { headers: { ...headers, eta: '2026-11-20T12:00:05+00:00' } }, { kind: 'defer', dueAtMs: now + 5000 }],
  ['eta to come in another zone', { headers: { ...headers, eta: '2026-11-20T13:00:05+01:00' } }, { kind: 'defer', dueAtMs: now + 5000 }],
  ['eta this very moment', { headers: { ...headers, eta: '2026-11-20T12:00:00+00:00' } }, { kind: 'run' }],
  ['eta past', { headers: { ...headers, eta: '2026-11-20T11:59:59+00:00' } }, { kind: 'run' }],
  ['expires to come', { headers: { ...headers, expires: '2026-11-20T12:00:01+00:00' } }, { kind: 'run' }],
  ['expires this very moment', { headers: { ...headers, expires: '2026-11-20T12:00:00+00:00' } }, { kind: 'expired', offer }],
  ['expired', { headers: { ...headers, expires: '2026-11-20T11:00:00+00:00' } }, { kind: 'expired' }],
  [
    'expired before it is due',
    { headers: { ...headers, expires: '2026-11-20T11:00:00+00:00', eta: '2026-11-20T13:00:00+00:00' } },
    { kind: 'expired' },
  ],

  // What has ended children before.
  ['it has to wait', { headers: { ...headers, id: 'suspect' } }, { kind: 'defer', dueAtMs: now + 4000 }],
  [
    'the later of the two counts',
    { headers: { ...headers, id: 'suspect', eta: '2026-11-20T12:00:05+00:00' } },
    { kind: 'defer', dueAtMs: now + 5000 },
  ],

  // Revoked.
  ['revoked', { headers: { ...headers, id: 'revoked' } }, { kind: 'revoked', offer }],
  ['revoked and not due', { headers: { ...headers, id: 'revoked', eta: '2026-11-20T13:00:00+00:00' } }, { kind: 'revoked' }],

  // Row 1 of messages.md §7.
  ['no headers at all', { headers: null, body: asJson(first) }, { kind: 'unknown' }],
  ['no task header, a body that is no task', { headers: {}, body: asJson({ hello: 'world' }) }, { kind: 'unknown' }],
  ['no task header, a body that is a list', { headers: {}, body: asJson([1, 2]) }, { kind: 'unknown' }],
  ['no task header, a body that is a text', { headers: {}, body: asJson('hello') }, { kind: 'unknown' }],

  // Row 2.
  ['a task nobody here knows', { headers: { ...headers, task: 'tasks.sub' } }, { kind: 'unregistered', header: { task: 'tasks.sub' } }],
  ['the same in protocol 1', { headers: {}, body: asJson({ ...first, task: 'tasks.sub' }) }, { kind: 'unregistered' }],
  ['unknown and expired', { headers: { ...headers, task: 'tasks.sub', expires: '2026-11-20T11:00:00+00:00' } }, { kind: 'unregistered' }],

  // Row 3.
  ['eta that is no time', { headers: { ...headers, eta: 'tomorrow' } }, { kind: 'invalid', reason: /^invalid ETA value 'tomorrow'/ }],
  ['eta that is a number', { headers: { ...headers, eta: 5 } }, { kind: 'invalid', reason: /^invalid ETA value 5/ }],
  ['expires that is no time', { headers: { ...headers, expires: 'x' } }, { kind: 'invalid', reason: /^invalid expires value 'x'/ }],

  // Row 4.
  [
    'a content type that is not accepted',
    { headers, properties: type('application/x-python-serialize') },
    { kind: 'invalid', reason: 'Refusing to deserialize untrusted content of type pickle (application/x-python-serialize)' },
  ],
  ['a content type nobody knows', { headers, properties: type('application/x-what') }, { kind: 'invalid', reason: /application\/x-what/ }],
  [
    'refused before it is parsed',
    { headers: {}, body: asJson(first), properties: type('application/x-yaml') },
    { kind: 'invalid', reason: /yaml/ },
  ],

  // Row 5: only where the parent has to read the body.
  ['protocol 1 that is no JSON', { headers: {}, body: Buffer.from('{"task":') }, { kind: 'undecodable' }],
  ['protocol 1 in a compression nobody knows', { headers: { compression: 'x-what' }, body: asJson(first) }, { kind: 'undecodable' }],
  [
    'protocol 1 whose compression is broken',
    { headers: { compression: 'application/x-gzip' }, body: asJson(first) },
    { kind: 'undecodable' },
  ],

  // Row 6.
  [
    'protocol 1, kwargs that are no object',
    { headers: {}, body: asJson({ ...first, kwargs: [1] }) },
    { kind: 'invalid', reason: 'Task keyword arguments must be a mapping' },
  ],

  // The poison row: a Python worker dies of these, we reject them.
  ['no id', { headers: { task: 'tasks.add' } }, { kind: 'invalid', reason: /the task id must be a non-empty string/ }],
  ['an id that is null', { headers: { ...headers, id: null } }, { kind: 'invalid' }],
  ['an empty content type', { headers, properties: type('') }, { kind: 'invalid', reason: /content type/ }],
  ['a task name that is no text', { headers: { ...headers, task: 5 } }, { kind: 'invalid', reason: /task name/ }],
  ['retries that are no number', { headers: { ...headers, retries: 'many' } }, { kind: 'invalid', reason: /retries must be a number/ }],
  ['time limits that are none', { headers: { ...headers, timelimit: 'long' } }, { kind: 'invalid', reason: /timelimit/ }],
];

for (const [title, message, decision] of rows) {
  t.test(title, (t) => {
    t.match(decide(deliveryOf(message), params), decision);
    t.end();
  });
}

t.test('what is accepted is what the setting says', (t) => {
  const yaml = deliveryOf({ headers, properties: type('application/x-yaml') });
  t.match(decide(yaml, params), { kind: 'invalid' });
  t.match(decide(yaml, { ...params, acceptContent: ['yaml'] }), { kind: 'run' });
  t.match(decide(deliveryOf({ headers }), { ...params, acceptContent: ['yaml'] }), { kind: 'invalid' });
  t.match(decide(deliveryOf({ headers }), { ...params, acceptContent: ['application/json'] }), { kind: 'run' }, 'names or content types');
  t.end();
});

t.test('a protocol-2 body is not read', (t) => {
  const delivery = deliveryOf({ headers });
  const body = new Proxy(delivery.body, {
    get: (target, key) => {
      // Its first byte tells the hybrid form; more is not looked at.
      if (key !== '0') throw new Error(`the body must not be read, got ${String(key)}`);
      return Reflect.get(target, key);
    },
  });
  t.match(decide({ ...delivery, body }, params), { kind: 'run' });
  t.end();
});

t.test('a message in the plain form is decided by what was read of it', (t) => {
  const decideAs = (task: string, id: string, acceptContent = ['json']): unknown => {
    const message = encodeTask({ task, id, args: [], kwargs: {}, origin: 'o' });
    const plain = readPlainTask(encodeEnvelope(message, { exchange: '', routingKey: 'celery', deliveryTag: 't' }));
    if (plain === null) throw new Error('it must be plain');
    return decide(new PlainDelivery(plain, 1, 'celery', 1), { ...params, acceptContent });
  };
  t.match(decideAs('tasks.add', 'one'), { kind: 'run', header: { protocol: 2, task: 'tasks.add', id: 'one' }, offer });
  t.match(decideAs('tasks.add', 'revoked'), { kind: 'revoked' });
  t.match(decideAs('tasks.none', 'one'), { kind: 'unregistered', header: { task: 'tasks.none' } });
  t.match(decideAs('tasks.add', 'one', ['yaml']), { kind: 'invalid' });
  t.end();
});
