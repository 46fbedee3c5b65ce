/** Events of tasks gathered for one message: the same, field by field and in the same order, as Celery's; and what nobody reads leaves nothing behind. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { encodeEvents, makeEvent, readEvents } from '../../src/protocol/event.ts';
import { EventsMessage, GatheredEvents, type PlainFields } from '../../src/protocol/gathered-events.ts';
import type { TaskHeader } from '../../src/protocol/task-message.ts';
import { loadVectors } from './vectors.ts';

type Fields = PlainFields & {
  readonly type: string;
  readonly hostname: string;
  readonly pid: number;
  readonly clock: number;
  readonly utcoffset: number;
  readonly timestamp: number;
  readonly uuid: string;
};

const header = {
  id: 'a',
  task: 'proj.add',
  shadow: null,
  argsrepr: '(1, 2)',
  kwargsrepr: '{}',
  rootId: 'a',
  parentId: null,
  retries: 0,
  etaMs: null,
  expiresMs: null,
} as unknown as TaskHeader;

function gather(event: Fields): GatheredEvents {
  const { hostname, pid, clock, utcoffset, timestamp, type, uuid, ...own } = event;
  const gathered = new GatheredEvents({ hostname, pid }, utcoffset);
  const nowMs = timestamp * 1000;
  const { name, args, kwargs, root_id, parent_id, retries, eta, expires } = own;
  const time = (text: unknown): number | null => (typeof text === 'string' ? Date.parse(text) : null);
  if (type === 'task-received') {
    const task = { task: name, argsrepr: args, kwargsrepr: kwargs, rootId: root_id, parentId: parent_id, retries };
    gathered.received({ ...header, ...task, id: uuid, etaMs: time(eta), expiresMs: time(expires) } as TaskHeader, clock, nowMs);
  } else if (type === 'task-started') gathered.started(uuid, clock, nowMs);
  else if (type === 'task-succeeded') gathered.succeeded(uuid, String(own.result), Number(own.runtime), clock, nowMs);
  else gathered.other(type, { uuid, ...own }, clock, nowMs);
  return gathered;
}

const sortedTypes = ['task-failed', 'task-received', 'task-rejected', 'task-retried', 'task-revoked', 'task-started', 'task-succeeded'];

t.test('Celery’s own, made anew', async (t) => {
  const vectors = loadVectors(t, 'events.json') as { sequences: { events: (Fields & { timestamp: number })[] }[] } | null;
  if (vectors === null) return;
  const seen = new Set<string>();
  for (const event of vectors.sequences.flatMap(({ events }) => events)) {
    if (!event.type.startsWith('task-') || event.type === 'task-sent') continue;
    seen.add(event.type);
    const [ours] = gather(event).list();
    t.same(Object.keys(ours ?? {}), Object.keys(event), `${event.type}: the fields in their order`);
    const near = Math.abs(Number(ours?.timestamp) - event.timestamp) < 1e-5;
    // Celery writes 0.5 for what JSON has as 0.5, and microseconds where we have them: times are compared as times.
    const times = { timestamp: 0, eta: null, expires: null };
    t.strictSame([near, { ...ours, ...times }], [true, { ...event, ...times }], event.type);
  }
  for (const type of sortedTypes) t.ok(seen.has(type), `the vectors have ${type}`);
});

t.test('several in one message, each with its own clock, time and result', async (t) => {
  const gathered = new GatheredEvents({ hostname: 'w"1@x', pid: 7 }, -2);
  gathered.received({ ...header, shadow: 'other', argsrepr: null, kwargsrepr: null, etaMs: 0, expiresMs: 1500 }, 1, 1000);
  gathered.succeeded('b', "'ä\n\u2028'", 0.25, 2, 2000);
  gathered.other('task-revoked', { uuid: 'c', terminated: true, signum: null, expired: false }, 3, 2500);
  gathered.started('d', 4, 3000);
  gathered.succeeded('e', 'None', 0.5, 5, 3500);
  t.equal(gathered.size, 5);
  const message = new EventsMessage(gathered);
  const common = { hostname: 'w"1@x', pid: 7, utcoffset: -2 };
  const received = { uuid: 'a', name: 'other', args: '', kwargs: '', root_id: 'a', parent_id: null, retries: 0 };
  const times = { eta: '1970-01-01T00:00:00.000000+00:00', expires: '1970-01-01T00:00:01.500000+00:00' };
  const events = readEvents(message, ['json']);
  t.strictSame(events, [
    { ...common, ...received, ...times, clock: 1, timestamp: 1, type: 'task-received' },
    { ...common, uuid: 'b', result: "'ä\n\u2028'", runtime: 0.25, clock: 2, timestamp: 2, type: 'task-succeeded' },
    { ...common, uuid: 'c', terminated: true, signum: null, expired: false, clock: 3, timestamp: 2.5, type: 'task-revoked' },
    { ...common, uuid: 'd', clock: 4, timestamp: 3, type: 'task-started' },
    { ...common, uuid: 'e', result: 'None', runtime: 0.5, clock: 5, timestamp: 3.5, type: 'task-succeeded' },
  ]);
  t.strictSame(events[3], makeEvent('task-started', { hostname: 'w"1@x', pid: 7 }, 4, 3000, -2, { uuid: 'd' }));
  t.equal(message.body, message.body, 'its text is made once');
  const single = encodeEvents(events, 'w"1@x');
  t.strictSame([{ ...message.properties }, { ...message.headers }], [single.properties, single.headers]);
});

t.test('what nobody reads is freed by the collector of young objects', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  let last: EventsMessage | null = null;
  const gatherMany = (): void => {
    for (let list = 0; list < 100; list += 1) {
      const gathered = new GatheredEvents({ hostname: 'w@x', pid: 1 }, 0);
      for (let at = 0; at < 50; at += 1) gathered.received({ ...header, argsrepr: `${list}-${at}`.padEnd(200, 'x') }, at, at);
      last = new EventsMessage(gathered);
    }
  };
  gatherMany();
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let round = 0; round < 20; round += 1) {
    gatherMany();
    collect({ type: 'minor' });
  }
  const megabytes = (process.memoryUsage().heapUsed - before) / 1024 / 1024;
  t.ok(last !== null);
  t.ok(megabytes < 3, `of more than 20 MB that came and went ${megabytes.toFixed(1)} MB are there`);
});
