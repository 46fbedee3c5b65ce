/** The quick reading of plain messages finds what the full one finds, or nothing. */
import t, { type Test } from 'tap';
import { PlainDelivery } from '../../src/broker/plain-delivery.ts';
import { readPlainTask } from '../../src/protocol/plain-task.ts';
import { encodeTask, type OutgoingTask, readReceipt } from '../../src/protocol/task-message.ts';
import { decodeEnvelope, encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { loadVectors, messagesOf, type RedisMessage, type TaskVector } from './vectors.ts';

/** Messages of Python by name; none where the vectors are not. */
function envelopesOfPython(t: Test): Map<string, string> {
  const vectors = (loadVectors(t, 'tasks-redis.json') ?? []) as TaskVector<RedisMessage>[];
  const envelopes = new Map<string, string>();
  for (const vector of vectors) for (const [at, { raw }] of messagesOf(vector).entries()) envelopes.set(`${vector.name} ${at}`, raw);
  return envelopes;
}

/** Python writes spaces behind its commas and colons. */
const ofPython =
  '{"body": "W1syLCAzXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogbnVsbCwgImNob3JkIjogbnVsbH1d", "content-encoding": "utf-8", "content-type": "application/json", ' +
  '"headers": {"lang": "py", "task": "proj.add", "id": "00000000-0000-4000-8000-000000000001", "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": "00000000-0000-4000-8000-000000000001", "parent_id": null, "argsrepr": "(2, 3)", "kwargsrepr": "{}", "origin": "gen2034@example.com", "ignore_result": false}, ' +
  '"properties": {"correlation_id": "00000000-0000-4000-8000-000000000001", "reply_to": "cbd526f4-062d-3002-b607-57b3c4aff611", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "eb3ca4ff-dca4-401f-b5be-4b738538cae9"}}';

function sent(more: Partial<OutgoingTask> = {}): string {
  const message = encodeTask({ task: 'tasks.add', id: 'id-1', args: [1], kwargs: { a: 'é"\\' }, origin: 'gen1@test', ...more });
  return encodeEnvelope(message, { exchange: '', routingKey: 'celery', deliveryTag: 'tag-1' });
}

/** Everything that either reading says; a text when the full one says no. */
function fullReading(envelope: string): unknown {
  try {
    const { message, exchange, routingKey, redelivered } = decodeEnvelope(envelope);
    const receipt = readReceipt(message);
    if (receipt.kind !== 'task') return `not a task: ${receipt.kind}`;
    return { ...message, exchange, routingKey, redelivered, header: receipt.header };
  } catch (error) {
    return String(error);
  }
}

function plainReading(envelope: string): unknown {
  const plain = readPlainTask(envelope);
  if (plain === null) return null;
  const { exchange, routingKey, redelivered, headers, properties, body } = new PlainDelivery(plain, 't', 'celery', 1);
  return { properties, headers, body, exchange, routingKey, redelivered, header: plain.header };
}

t.test('what Python sends', async (t) => {
  const envelopes = envelopesOfPython(t);
  if (envelopes.size === 0) return;
  const plain = [...envelopes].filter(([, envelope]) => readPlainTask(envelope) !== null).map(([name]) => name);
  for (const name of ['plain 0', 'delay 0', 'kwargs 0', 'group-of-3 2', 'time-limits 0', 'priority-9 0', 'long-argsrepr 0'])
    t.ok(plain.includes(name), `${name} is plain`);
  for (const name of ['eta-naive 0', 'expires-seconds 0', 'compression-zlib 0', 'serializer-pickle 0', 'protocol1-plain 0'])
    t.notOk(plain.includes(name), `${name} is not plain`);
  for (const [name, envelope] of envelopes) {
    const quick = plainReading(envelope);
    if (quick !== null) t.strictSame(quick, fullReading(envelope), name);
  }
});

t.test('what umbel sends', async (t) => {
  const more: Partial<OutgoingTask>[] = [
    {},
    { group: 'g', groupIndex: 3, rootId: 'r', parentId: 'p', shadow: 's', replyTo: 'q', priority: 9, deliveryMode: 1 },
    { ignoreResult: true, retries: 4, replacedTaskNesting: 2, hardTimeLimitSeconds: 1.5, softTimeLimitSeconds: 10 },
    { ignoreResult: false, headers: { trace: 'abc', number: 7, flag: true, nothing: null } },
  ];
  for (const one of more) {
    t.not(plainReading(sent(one)), null);
    t.strictSame(plainReading(sent(one)), fullReading(sent(one)));
  }
});

t.test('what is left to the full reading', async (t) => {
  const others: Partial<OutgoingTask>[] = [
    { etaMs: 1 },
    { expiresMs: 1 },
    { protocol: 1 },
    { compression: 'zlib' },
    { headers: { redelivered: true } },
    { headers: { nested: { a: 1 } } },
    { headers: { big: 2n ** 64n } },
    { stampedHeaders: ['a'], stamps: { a: 'b' } },
    { extraProperties: { message_id: 'm' } },
    { args: ['x'.repeat(20_000)] },
    { task: 'a"b' },
    { task: '' },
    { id: '' },
  ];
  for (const one of others) t.equal(plainReading(sent(one)), null, JSON.stringify(Object.keys(one)));
  t.equal(plainReading(sent({ headers: { mine: 'yes' } }).replace('"mine":"yes"', '"id":"other"')), null, 'a key that comes twice');
  const hybrid = sent().replace(/"body":"[^"]*"/, `"body":"${Buffer.from('{"args":[]}').toString('base64')}"`);
  t.equal(plainReading(hybrid), null, 'a body of protocol 1 under headers of protocol 2');
});

t.test('whatever happens to the text, the two never disagree', async (t) => {
  const bases = [ofPython, sent(), sent({ headers: { mine: 'yes', n: 1 } })];
  const pieces = [
    '"',
    '\\',
    ',',
    ':',
    ' ',
    '{',
    '}',
    '[',
    ']',
    'null',
    '0',
    '1',
    '-',
    '.',
    'e',
    'é',
    '\n',
    '\u0000',
    '\\u00e9',
    '\\n',
    '\\x',
  ];
  const seed = Number(process.env.UMBEL_TEST_SEED ?? Date.now() % 1_000_000);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let plain = 0;
  let refused = 0;
  for (let round = 0; round < 20_000; round += 1) {
    let text = bases[random(bases.length)] as string;
    for (let change = random(3); change >= 0; change -= 1) {
      const at = random(text.length);
      const piece = random(4) === 0 ? text.slice(at, at + random(40)) : (pieces[random(pieces.length)] as string);
      const cut = [0, 1, piece.length][random(3)] as number;
      const to = random(5) === 0 ? random(text.length) : at;
      text = text.slice(0, to) + piece + text.slice(to + cut);
    }
    const quick = plainReading(text);
    if (quick === null) {
      refused += 1;
      continue;
    }
    plain += 1;
    const full = fullReading(text);
    if (JSON.stringify(quick) !== JSON.stringify(full)) t.strictSame(quick, full, `seed ${seed}: ${text}`);
  }
  t.ok(plain > 1000 && refused > 1000, `both kinds came up: ${plain} plain, ${refused} others`);
});

t.test('the body is read without the headers', async (t) => {
  const plain = readPlainTask(sent({ args: [1, 'two'] }));
  t.match(plain?.content(), { args: [1, 'two'], kwargs: { a: 'é"\\' } });
});
