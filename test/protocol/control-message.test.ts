/** Requests and replies captured from real Celery are read, and written again field by field; who is addressed. */
import t from 'tap';
import { encodeReply, encodeRequest, globPattern, isAddressed, readReplies, readRequest } from '../../src/protocol/control-message.ts';
import { parseJson } from '../../src/protocol/json.ts';
import type { Message } from '../../src/protocol/message.ts';
import { decodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { loadVectors } from './vectors.ts';

interface Case {
  readonly name: string;
  readonly request: { readonly raw: string; readonly body_text: string };
  readonly replies: readonly { readonly raw: string; readonly body_text: string }[];
}

function sameMessage(message: Message, raw: string) {
  const wanted = decodeEnvelope(raw).message;
  t.strictSame(message.headers, wanted.headers);
  t.strictSame(
    { ...message.properties },
    { contentType: 'application/json', contentEncoding: 'utf-8', deliveryMode: wanted.properties.deliveryMode, priority: 0 },
  );
  t.strictSame(parseJson(message.body.toString()), parseJson(wanted.body.toString()));
}

t.test('every captured request, read and written', async (t) => {
  const cases = loadVectors(t, 'control-redis.json') as Case[] | null;
  if (cases === null) return;
  t.equal(cases.length, 77);
  for (const { name, request: captured } of cases) {
    const message = decodeEnvelope(captured.raw).message;
    const request = readRequest(message, ['json']);
    const { clock, expires } = message.headers as { clock: number; expires: number };
    t.equal(request.ticket === null, request.replyTo === null, name);
    sameMessage(encodeRequest(request, clock, expires), captured.raw);
  }
});

t.test('every captured reply, read and written', async (t) => {
  const cases = loadVectors(t, 'control-redis.json') as Case[] | null;
  if (cases === null) return;
  const replies = cases.flatMap((one) => one.replies);
  t.ok(replies.length > 70);
  for (const { raw } of replies) {
    const message = decodeEnvelope(raw).message;
    const [reply, ...more] = readReplies(message, ['json']);
    t.equal(more.length, 0);
    sameMessage(encodeReply(reply!.nodeName, reply!.value, reply!.ticket, reply!.clock as number), raw);
  }
});

const plain = { method: 'ping', arguments: {}, destination: null, pattern: null, matcher: null, ticket: null, replyTo: null } as const;
const isFor = (more: object) => isAddressed('w1@example.com', { ...plain, ...more });

t.test('who is addressed', async (t) => {
  t.ok(isFor({}));
  t.ok(isFor({ destination: [] }), 'nobody in particular');
  t.ok(isFor({ destination: ['other@x', 'w1@example.com'] }));
  t.notOk(isFor({ destination: ['other@x'], pattern: '*', matcher: 'glob' }), 'names count more than patterns');
  t.ok(isFor({ pattern: 'w?@*.com', matcher: 'glob' }));
  t.notOk(isFor({ pattern: 'w1@example', matcher: 'glob' }), 'over all of the name');
  t.ok(isFor({ pattern: 'w\\d', matcher: 'pcre' }), 'from its beginning');
  t.notOk(isFor({ pattern: 'example', matcher: 'pcre' }));
  t.notOk(isFor({ pattern: '(', matcher: 'pcre' }), 'no expression at all');
  t.ok(isFor({ pattern: 'nobody*', matcher: null }), 'a pattern of no kind is none');
});

t.test('patterns of shells', async (t) => {
  t.match('a.b', globPattern('a.b'));
  t.notMatch('axb', globPattern('a.b'));
  t.match('w3', globPattern('w[1-3]'));
  t.notMatch('w4', globPattern('w[1-3]'));
  t.match('w4', globPattern('w[!1-3]'));
  t.match('w]', globPattern('w[]]'));
  t.match('w[1', globPattern('w[1'));
  t.match('w^', globPattern('w[^]'));
  t.match('a\nb', globPattern('a*b'));
});

t.test('what is no request is refused', async (t) => {
  const message = (body: string, contentType = 'application/json'): Message => ({
    properties: { contentType, contentEncoding: 'utf-8' },
    headers: {},
    body: Buffer.from(body),
  });
  t.throws(() => readRequest(message('[]'), ['json']), { code: 'MESSAGE_INVALID' });
  t.throws(() => readRequest(message('{"arguments": {}}'), ['json']), { code: 'MESSAGE_INVALID' });
  t.throws(() => readRequest(message('{'), ['json']), { code: 'MESSAGE_UNDECODABLE' });
  t.throws(() => readRequest(message('{}', 'application/x-python-serialize'), ['json']), { code: 'CONTENT_DISALLOWED' });
  t.throws(() => readReplies(message('3'), ['json']), { code: 'MESSAGE_INVALID' });
  t.match(readRequest(message('{"method": "ping", "destination": "w1@x", "reply_to": {"exchange": 1}}'), ['json']), {
    destination: ['w1@x'],
    replyTo: null,
    ticket: null,
  });
});
