/** Lines of events are those of Celery's own dumper. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { EventLines } from '../../src/event/event-lines.ts';
import type { ReceivedEvent } from '../../src/event/receiver.ts';
import { loadVectors } from '../protocol/vectors.ts';
import { celeryMissing } from '../python-celery.ts';

const python = `
import json, sys
from celery.events.dumper import Dumper
dumper = Dumper()
for line in sys.stdin: dumper.on_event(json.loads(line))
`;

t.test('as Celery prints the same events', { skip: celeryMissing() }, (t) => {
  const vectors = loadVectors(t, 'events.json') as { sequences: { events: Record<string, unknown>[] }[] } | null;
  if (vectors === null) return;
  const worker = { hostname: 'w@h', utcoffset: -2, pid: 7, clock: 3, timestamp: 1795162792, local_received: 1795162793.25 };
  const events = [
    ...vectors.sequences.flatMap((sequence) => sequence.events),
    { ...worker, type: 'worker-online', freq: 2.5, loadavg: [0.1, 1, 2.25], sw_ident: "it's" },
    { ...worker, type: 'worker-heartbeat', timestamp: 1795162792.000004 },
    { ...worker, type: 'worker-elect-ack', id: 'x' },
    { ...worker, type: 'task-own-kind', uuid: 'not-seen', detail: { a: [true, null] } },
    { hostname: 'w@h', timestamp: 0.5, type: 'worker-offline' },
  ] as unknown as ReceivedEvent[];
  const run = spawnSync('/usr/bin/python3', ['-c', python], {
    input: events.map((event) => JSON.stringify(event)).join('\n'),
    encoding: 'utf8',
  });
  t.equal(run.status, 0, run.stderr);
  const lines = new EventLines();
  t.same(
    events.flatMap((event) => lines.line(event).split('\n')),
    run.stdout.split('\n').slice(0, -1),
  );
  t.end();
});
