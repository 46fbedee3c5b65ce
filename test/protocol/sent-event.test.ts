/** `task-sent` as Celery writes it: every one that was captured comes out again, field by field and in its order. */
import t from 'tap';
import { makeEvent } from '../../src/protocol/event.ts';
import { parseIsoTime } from '../../src/protocol/iso-time.ts';
import { encodeJson } from '../../src/protocol/json.ts';
import { sentEvent } from '../../src/protocol/sent-event.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { loadVectors } from './vectors.ts';

interface SentVector {
  readonly [field: string]: unknown;
  readonly hostname: string;
  readonly pid: number;
  readonly clock: number;
  readonly timestamp: number;
  readonly uuid: string;
  readonly name: string;
  readonly queue: string;
  readonly exchange: string;
  readonly routing_key: string;
}

const task = (more: Partial<OutgoingTask> = {}): OutgoingTask => ({
  task: 'proj.add',
  id: 'id-1',
  args: [2, 3],
  kwargs: { z: [1] },
  origin: 'gen7@here',
  ...more,
});
const where = { queue: 'celery', exchange: '', routingKey: 'celery' };

t.test('every one captured from Celery', async (t) => {
  const vectors = loadVectors(t, 'events.json') as { sequences: { name: string; events: SentVector[] }[] } | null;
  if (vectors === null) return;
  const sent = vectors.sequences.flatMap(({ name, events }) =>
    events.filter(({ type }) => type === 'task-sent').map((event) => ({ name, event })),
  );
  t.ok(sent.length > 30);
  for (const { name, event } of sent) {
    const { queue, exchange, routing_key: routingKey } = event;
    const ms = (value: unknown): number | null => (typeof value === 'string' ? parseIsoTime(value) : null);
    const message = encodeTask({
      task: event.name,
      id: event.uuid,
      args: [],
      kwargs: {},
      origin: event.hostname,
      rootId: event.root_id as string,
      parentId: event.parent_id as string | null,
      argsrepr: event.args as string,
      kwargsrepr: event.kwargs as string,
      retries: event.retries as number,
      etaMs: ms(event.eta),
      expiresMs: ms(event.expires),
    });
    const made = sentEvent({ message, queue, exchange, routingKey });
    const { origin = null, fields = {} } = made ?? {};
    const whole = makeEvent('task-sent', origin ?? { hostname: 'nobody', pid: 0 }, event.clock, event.timestamp * 1000, 0, fields);
    // Python writes microseconds of an ETA, which we do not have.
    const seconds = (value: unknown): unknown => (typeof value === 'string' ? value.replace(/\.\d+/, '') : value);
    t.equal(
      encodeJson({ ...whole, eta: seconds(whole.eta), timestamp: 0 }),
      encodeJson({ ...event, eta: seconds(event.eta), timestamp: 0 }),
      name,
    );
  }
});

t.test('times are texts; the real name and not the shadow; a protocol 1 message tells the same', async (t) => {
  const dueAtMs = Date.UTC(2030, 0, 2, 3, 4, 5);
  for (const protocol of [1, 2] as const) {
    const message = encodeTask(task({ protocol, etaMs: dueAtMs, expiresMs: dueAtMs + 1000, retries: 2, shadow: 'nice' }));
    t.match(sentEvent({ message, ...where, queue: null })?.fields, {
      uuid: 'id-1',
      name: 'proj.add',
      args: '(2, 3)',
      kwargs: "{'z': [1]}",
      retries: 2,
      eta: '2030-01-02T03:04:05.000000+00:00',
      expires: '2030-01-02T03:04:06.000000+00:00',
      queue: null,
      exchange: '',
      routing_key: 'celery',
    });
  }
});

t.test('who sent it is what the message says, if it says so; what is no task has no event', async (t) => {
  const origin = (value: string): unknown => sentEvent({ message: encodeTask(task({ origin: value })), ...where })?.origin;
  t.same(origin('gen12@a.b'), { hostname: 'gen12@a.b', pid: 12 });
  t.equal(origin('somebody'), null);
  const message = encodeTask(task({}));
  t.equal(sentEvent({ message: { ...message, headers: { ...message.headers, task: '' } }, ...where }), null);
});
