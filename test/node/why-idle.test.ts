/** The sentence of `umbel ctl why`: each of its reasons, which one goes before which, and nothing that is not so. */
import t from 'tap';
import { whyIdle } from '../../src/node/why-idle.ts';
import { type Clock, FakeClock, systemClock } from '../../src/std/clock.ts';
import { settled } from '../consumer/doubles.ts';

type Params = Parameters<typeof whyIdle>[0];

interface Scene {
  state?: Params['state'];
  brokerLostAtMs?: number;
  /** The broker takes no messages. */
  blocked?: string;
  quiet?: boolean;
  stalled?: boolean;
  /** No subscription. */
  unsubscribed?: boolean;
  queues?: readonly string[];
  heldUntilMs?: number;
  hasRoom?: boolean;
  refusal?: string | null;
  /** null: cannot be counted. */
  owed?: number | null;
  /** What is asked of the broker from then on gets no answer. */
  silent?: 'ready' | 'scheduled' | 'owed';
  /** null: cannot be counted. */
  ready?: number | null;
  dueAtMs?: number;
  tasks?: number;
  /** Labels of what runs. */
  running?: readonly string[];
  /** Labels of what has ended, and is not settled. */
  ended?: readonly string[];
  /** In the pool, and not begun. */
  waiting?: number;
  limits?: Readonly<Record<string, string>>;
  limited?: number;
  pids?: readonly number[];
  pool?: Params['pool']['name'];
  slots?: number;
}

function why(scene: Scene, clock: Clock = systemClock): Promise<string> {
  const { running = [], ended = [], queues = ['celery'], slots = 2, limits = {} } = scene;
  const held = [...running, ...ended].map((label, at) => {
    const request = { label, state: 'active', pid: 100 + at, startedAtSeconds: Date.now() / 1000 - 3 };
    return { request, job: { inChild: at < running.length } };
  });
  const subscription = {
    queues,
    heldUntilMs: scene.heldUntilMs ?? Number.POSITIVE_INFINITY,
    hasRoom: scene.hasRoom ?? true,
    refusal: scene.refusal ?? null,
    scheduled: async () => (scene.silent === 'scheduled' ? never : scene.dueAtMs === undefined ? [] : [{ dueAtMs: scene.dueAtMs }]),
    ...(scene.owed === undefined
      ? null
      : {
          countOwed: async () => {
            if (scene.owed === null) throw new Error('no');
            return scene.silent === 'owed' ? never : scene.owed;
          },
        }),
  };
  return whyIdle({
    broker: {
      displayUrl: 'redis://here/0',
      blocked: scene.blocked ?? null,
      countReady: async () => {
        if (scene.ready === null) throw new Error('no');
        return scene.silent === 'ready' ? never : (scene.ready ?? 0);
      },
    },
    brokerLostAtMs: scene.brokerLostAtMs ?? null,
    state: scene.state ?? 'running',
    consumer: {
      subscription: scene.unsubscribed === true ? null : subscription,
      held,
      rateLimits: { waiting: scene.limited ?? 0, waitingLimits: new Map(Object.entries(limits)) },
    },
    pool: {
      tasks: { size: scene.tasks ?? 1 },
      pids: scene.pids ?? [100, 101],
      name: scene.pool ?? 'prefork',
      jobCount: running.length + (scene.waiting ?? 0),
    },
    slots,
    quiet: scene.quiet ?? false,
    stalled: scene.stalled ?? false,
    clock,
  } as unknown as Params);
}

const never = new Promise<never>(() => {});
const lost = Date.parse('2026-11-20T19:37:14.807Z');
const one = ['proj.add[a]'];
const away = 'The broker (redis://here/0) is away since 2026-11-20T19:37:14.807Z';

t.test('each reason', async (t) => {
  const said: readonly (readonly [Scene, string])[] = [
    [{}, 'Its queues (celery) are empty.'],
    [{ dueAtMs: lost }, 'Its queues (celery) are empty; the next scheduled task is due 2026-11-20T19:37:14.807Z.'],
    [{ queues: ['a', 'b', 'c', 'd', 'e', 'f'] }, 'Its queues (a, b, c, d and 2 more) are empty.'],
    [{ running: one }, 'Its queues (celery) are empty. One task runs: proj.add[a] for 3 s in process 100.'],
    [{ ready: 1 }, '1 message is ready in its queues (celery), and 0 of 2 places are taken: it is about to be taken.'],
    [{ ready: 3, running: one }, '3 messages are ready in its queues (celery), and 1 of 2 places are taken: they are about to be taken.'],
    [
      { ready: 3, stalled: true },
      '3 messages are ready in its queues (celery), 0 of 2 places are taken, and the broker delivers nothing: the worker consumes anew by itself.',
    ],
    [{ ready: 3, owed: 0 }, '3 messages are ready in its queues (celery), and the broker keeps them for another consumer.'],
    [{ ready: 3, owed: 3 }, '3 messages are ready in its queues (celery), and 0 of 2 places are taken: they are about to be taken.'],
    [
      { ready: 3, owed: null },
      '3 messages are ready in its queues (celery), and 0 of 2 places are taken; whether the broker keeps them for another consumer cannot be told.',
    ],
    [{ ready: null }, 'Nothing waits here; how much is in its queues (celery) cannot be told.'],
    [{ refusal: 'Redis has used up maxmemory.' }, 'The broker refuses messages: Redis has used up maxmemory.'],
    [{ waiting: 2 }, '2 tasks wait for a child that is starting, being replaced or kept for one task alone; 0 of 2 places are taken.'],
    [{ limited: 3, limits: { 'tasks.mail': '10/m' } }, '3 tasks wait for rate limits (tasks.mail 10/m); 0 of 2 places are taken.'],
    [
      { limited: 1, limits: { 'tasks.mail': '10/m' }, hasRoom: false, slots: 1 },
      '1 task waits for rate limits (tasks.mail 10/m); 0 of 1 place is taken. As many are held as may be: what is behind them in the queues waits, too.',
    ],
    [{ pids: [] }, 'No child is up: the log says why.'],
    [{ pids: [], pool: 'async' }, 'No child is up: the log says why.'],
    [{ pids: [], pool: 'threads' }, 'Its queues (celery) are empty.'],
    [{ running: one, slots: 1 }, 'Its one place is taken: proj.add[a] for 3 s in process 100.'],
    [{ running: ['a', 'b'] }, 'All 2 places are taken: a for 3 s in process 100, b for 3 s in process 101.'],
    [{ heldUntilMs: 0 }, 'The broker has not confirmed for a whole lease that this worker lives: no task is started until it has.'],
    [{ queues: [] }, 'It takes tasks from no queue: all were cancelled.'],
    [{ tasks: 0 }, 'Its task modules export no task: every message is rejected.'],
    [{ quiet: true }, 'It is quiet (SIGTSTP): no task is taken until SIGCONT.'],
    [{ state: 'new', unsubscribed: true }, 'It is starting: no task is taken yet.'],
    [{ brokerLostAtMs: lost }, `${away}.`],
    [{ state: 'stopping' }, 'It is stopping: no task is taken any more.'],
    [{ state: 'stopping', running: one }, 'It is stopping, and waits for what runs: proj.add[a] for 3 s in process 100.'],
  ];
  for (const [scene, sentence] of said) t.equal(await why(scene), sentence, JSON.stringify(scene));
});

t.test('a broker that stands still is waited for for 2 s in all', async (t) => {
  const said: readonly (readonly [Scene, string])[] = [
    [{ silent: 'ready' }, 'Nothing waits here; how much is in its queues (celery) cannot be told.'],
    [{ silent: 'scheduled' }, 'Its queues (celery) are empty.'],
    [
      { ready: 1, owed: 1, silent: 'owed' },
      '1 message is ready in its queues (celery), and 0 of 2 places are taken; whether the broker keeps them for another consumer cannot be told.',
    ],
  ];
  for (const [scene, sentence] of said) {
    const clock = new FakeClock();
    let answer = '';
    void why(scene, clock).then((text) => {
      answer = text;
    });
    clock.advance(1999);
    await settled();
    t.equal(answer, '');
    clock.advance(1);
    await settled();
    t.equal(answer, sentence);
  }
});

t.test('the one that must be dealt with first', async (t) => {
  const all: Scene = {
    state: 'stopping',
    brokerLostAtMs: lost,
    quiet: true,
    tasks: 0,
    queues: [],
    heldUntilMs: 0,
    running: ['a', 'b'],
    ended: ['c'],
    hasRoom: false,
    blocked: 'low on memory',
    pids: [],
    limited: 3,
    waiting: 2,
    refusal: 'no',
    ready: 3,
    stalled: true,
  };
  const order: readonly (readonly [RegExp, Scene])[] = [
    [/^It is stopping, and waits/, { state: 'running' }],
    [
      /^The broker .* is away since .*; what runs goes on: a for 3 s .*, b for .*; 1 task that has ended waits for it/,
      { brokerLostAtMs: undefined as never },
    ],
    [/^It is quiet/, { quiet: false }],
    [/export no task/, { tasks: 1 }],
    [/from no queue/, { queues: ['celery'] }],
    [/a whole lease/, { heldUntilMs: Number.POSITIVE_INFINITY }],
    [/takes no messages for the moment/, { blocked: undefined as never }],
    [/^All 2 places/, { running: ['a'] }],
    [/^No child is up/, { pids: [100] }],
    [/for rate limits/, { limited: 0 }],
    [/wait for a child/, { waiting: 0 }],
    [/^1 task has ended and waits/, { ended: [] }],
    [/^The broker refuses messages: no\. One task runs: a /, { refusal: null }],
    [/^3 messages are ready .* delivers nothing: .*One task runs/, { stalled: false }],
    [/about to be taken/, { ready: 0 }],
    [/^Its queues \(celery\) are empty\. One task runs/, {}],
  ];
  let scene = all;
  for (const [sentence, next] of order) {
    t.match(await why(scene), sentence);
    scene = { ...scene, ...next };
  }
});

t.test('what has ended takes no place, and does not run', async (t) => {
  t.equal(await why({ ended: ['a', 'b'] }), 'Its queues (celery) are empty.');
  const held = 'As many are held as may be: what is behind them in the queues waits, too.';
  t.equal(
    await why({ ended: ['a', 'b'], hasRoom: false, ready: 3 }),
    `2 tasks have ended and wait until the broker or the result backend has taken what comes of them; 0 of 2 places are taken. ${held}`,
  );
  const alarm = 'The broker (redis://here/0) takes no messages for the moment: low on memory.';
  t.equal(
    await why({ ended: ['a'], running: one, blocked: 'low on memory', ready: 3 }),
    `${alarm} 1 task has ended and waits until what comes of it is taken; 1 of 2 places are taken.`,
  );
  t.equal(
    await why({ ended: ['a', 'b'], blocked: 'low on memory', hasRoom: false, ready: 3 }),
    `${alarm} 2 tasks have ended and wait until what comes of them is taken; 0 of 2 places are taken. ${held}`,
  );
  t.equal(await why({ blocked: 'low on memory' }), 'Its queues (celery) are empty.', 'nothing waits for that');
  t.equal(await why({ ended: ['a'], brokerLostAtMs: lost }), `${away}; 1 task that has ended waits for it.`);
  t.equal(
    await why({ running: ['a'], ended: ['b', 'c'], brokerLostAtMs: lost }),
    `${away}; what runs goes on: a for 3 s in process 100; 2 tasks that have ended wait for it.`,
  );
  t.equal(
    await why({ running: ['a', 'b', 'c', 'd', 'e', 'f'], slots: 6 }),
    'All 6 places are taken: a for 3 s in process 100, b for 3 s in process 101, c for 3 s in process 102, d for 3 s in process 103 and 2 more.',
  );
});
