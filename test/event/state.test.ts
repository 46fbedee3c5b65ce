/** The state of the cluster: what Celery's own makes of the same events, in order and out of it; and its bounds. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import type { ReceivedEvent } from '../../src/event/receiver.ts';
import { State } from '../../src/event/state.ts';
import type { TaskState } from '../../src/event/task-state.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { SeededRandom } from '../live/seeded-random.ts';
import { loadVectors } from '../protocol/vectors.ts';
import { celeryMissing } from '../python-celery.ts';

interface Sequence {
  readonly name: string;
  readonly events: Record<string, unknown>[];
}

function received(event: Record<string, unknown>, at = 1000): ReceivedEvent {
  return { clock: 0, timestamp: at, local_received: at, hostname: 'w@h', type: '', ...event } as ReceivedEvent;
}

const shown = ['uuid', 'name', 'state', 'received', 'sent', 'started', 'succeeded', 'failed', 'retried', 'revoked', 'rejected'] as const;
const said = ['args', 'kwargs', 'eta', 'expires', 'retries', 'result', 'exception', 'timestamp', 'runtime', 'traceback'] as const;
const more = ['exchange', 'routing_key', 'clock', 'root_id', 'parent_id', 'client'] as const;

function summary(state: State): unknown {
  const one = (task: TaskState) =>
    Object.fromEntries([
      ...[...shown, ...said, ...more].map((field) => [field, task[field]]),
      ['worker', task.worker],
      [
        'children',
        state
          .childrenOf(task.uuid)
          .map(({ uuid }) => uuid)
          .sort(),
      ],
    ]);
  return {
    tasks: state.tasksByTime().map(one),
    workers: [...state.workers.values()].map(({ hostname, pid, freq, heartbeats, clock, active, processed, sw_ident }) => ({
      hostname,
      pid,
      freq,
      heartbeats,
      clock,
      active,
      processed,
      sw_ident,
    })),
    types: state.taskTypes(),
    counts: [state.eventCount, state.taskCount],
  };
}

/** Celery's own state, fed lists of events; one line of JSON for each list. */
const python = `
import json, sys
from celery import Celery
app = Celery('x')
for line in sys.stdin:
    state = app.events.State()
    for event in json.loads(line): state.event(event)
    def one(task):
        found = {f: getattr(task, f, None) for f in ${JSON.stringify([...shown, ...said, ...more])}}
        found['worker'] = task.worker.hostname if task.worker else None
        found['children'] = sorted(child.uuid for child in task.children)
        return found
    print(json.dumps({
        'tasks': [one(task) for _, task in state.tasks_by_time()],
        'workers': [{f: getattr(w, f) for f in ('hostname', 'pid', 'freq', 'heartbeats', 'clock', 'active', 'processed', 'sw_ident')} for w in state.workers.values()],
        'types': state.task_types(),
        'counts': [state.event_count, state.task_count],
    }))
`;

t.test('the sequences of a real worker, in order and shuffled, as Celery sees them', { skip: celeryMissing() }, (t) => {
  const vectors = loadVectors(t, 'events.json') as { sequences: Sequence[] } | null;
  if (vectors === null) return;
  const random = new SeededRandom(20);
  const lists: Record<string, unknown>[][] = vectors.sequences.map(({ events }) => events);
  // Everything at once, too: parents, children, several workers.
  lists.push(lists.flat());
  for (const list of [...lists]) for (let round = 0; round < 3; round++) lists.push(random.shuffle([...list]));
  // Each has its own time of arrival, and its place in the logical order.
  const heard = lists.map((list) =>
    list.map((event, at) => ({
      ...event,
      clock: event.type === 'task-sent' ? at + 1 : event.clock,
      local_received: Number(event.timestamp) + at / 64,
    })),
  );
  const run = spawnSync('/usr/bin/python3', ['-c', python], {
    input: heard.map((list) => JSON.stringify(list)).join('\n'),
    encoding: 'utf8',
  });
  t.equal(run.status, 0, run.stderr);
  const expected = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  t.equal(expected.length, lists.length);
  for (const [at, list] of heard.entries()) {
    const state = new State();
    for (const event of list) state.event(received(event));
    t.same(summary(state), expected[at], vectors.sequences[at]?.name ?? `list ${at}`);
  }
  t.end();
});

t.test('a worker lives for two heartbeats', (t) => {
  const clock = new FakeClock();
  const nowSeconds = (): number => clock.now() / 1000;
  const joined: string[] = [];
  const left: string[] = [];
  const state = new State({
    clock,
    onNodeJoin: ({ hostname }) => joined.push(hostname),
    onNodeLeave: ({ hostname }) => left.push(hostname),
  });
  state.event(received({ type: 'worker-heartbeat', freq: 5 }, nowSeconds()));
  t.same(joined, ['w@h']);
  clock.advance(9_900);
  t.same(
    state.aliveWorkers().map(({ hostname }) => hostname),
    ['w@h'],
  );
  clock.advance(200);
  t.same(state.aliveWorkers(), [], 'silent for too long');
  state.event(received({ type: 'task-started', uuid: 'a' }, nowSeconds()));
  t.equal(state.aliveWorkers().length, 1, 'one that works lives');
  state.event(received({ type: 'worker-heartbeat', freq: null }, nowSeconds()));
  clock.advance(100_000);
  t.equal(state.aliveWorkers().length, 1, 'without freq: a minute');
  state.event(received({ type: 'worker-offline' }, nowSeconds()));
  t.same([left, state.workers.size], [['w@h'], 0]);
  t.end();
});

t.test('bounds: the oldest go', (t) => {
  const state = new State({ maxTasks: 3, maxWorkers: 2 });
  for (let at = 1; at <= 5; at++)
    state.event(received({ type: 'task-received', uuid: `t${at}`, clock: at, hostname: `w${at}@h`, name: 'n', parent_id: 't0' }));
  t.same(
    state.tasksByTime().map(({ uuid }) => uuid),
    ['t5', 't4', 't3'],
  );
  t.same([...state.workers.keys()], ['w4@h', 'w5@h']);
  t.same(
    state.childrenOf('t0').map(({ uuid }) => uuid),
    ['t3', 't4', 't5'],
  );
  t.same(
    state.tasksByWorker('w5@h').map(({ uuid }) => uuid),
    ['t5'],
  );
  t.same(state.tasksByType('n').length, 3);
  state.event(received({ type: 'task-succeeded', uuid: 't4', clock: 9 }));
  t.same(
    state.tasksByTime().map(({ uuid }) => uuid),
    ['t4', 't5', 't3'],
    'the last event counts',
  );
  state.clearTasks();
  t.same([...state.tasks.keys()], ['t3', 't5'], 'what has ended is gone');
  state.clear(false);
  t.same([state.tasks.size, state.workers.size, state.eventCount], [0, 0, 0]);
  t.end();
});

t.test('what is no event of a worker or task changes nothing; odd fields do no harm', (t) => {
  const log = new RecordingLog();
  const state = new State({ log });
  state.event(received({ type: 'task-started' }));
  state.event(received({ type: 'worker-heartbeat', hostname: 7 }));
  state.event(received({ type: 'other' }));
  t.same([state.eventCount, state.tasks.size, state.workers.size], [3, 0, 0]);
  state.event(received(JSON.parse('{"type":"task-constructor","uuid":"a","__proto__":{"x":1},"name":3,"mine":2}')));
  t.match(state.tasks.get('a'), { state: 'CONSTRUCTOR', name: null });
  t.equal(state.tasks.get('a')?.more.get('mine'), 2);
  t.equal(({} as { x?: number }).x, undefined);
  for (let n = 0; n < 2; n++) state.event(received({ type: 'worker-heartbeat', timestamp: 900, local_received: 1000 }));
  t.same(log.lines.filter(({ event }) => event === 'event.drift').length, 1, 'said once');
  t.end();
});
