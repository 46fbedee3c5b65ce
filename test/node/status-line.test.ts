/** What `systemctl status` shows of a worker, and what its probes say: the first thing that keeps it from taking tasks. */
import t from 'tap';
import type { BrokerState } from '../../src/broker/broker.ts';
import type { NodeState } from '../../src/node/node-state.ts';
import { unready } from '../../src/node/readiness.ts';
import { StatusLine } from '../../src/node/status-line.ts';
import { FakeClock } from '../../src/std/clock.ts';

function worker() {
  const now = {
    state: 'running' as NodeState,
    broker: 'connected' as BrokerState,
    quiet: false,
    helpless: false,
    queues: ['celery'],
    refused: [] as string[],
  };
  const problem = (): string | null =>
    unready({
      broker: {
        get state() {
          return now.broker;
        },
      },
      consumer: {
        get subscription() {
          return now.state === 'new'
            ? null
            : { queues: now.queues, refusedQueues: now.refused, refusal: now.refused.length === 0 ? null : 'locked' };
        },
      },
      state: () => now.state,
      isQuiet: () => now.quiet,
      isHelpless: () => now.helpless,
    });
  return { now, problem };
}

t.test('what keeps it from taking tasks', async (t) => {
  const { now, problem } = worker();
  t.equal(problem(), null);
  const told = (change: Partial<typeof now>): string | null => {
    const before = { ...now };
    Object.assign(now, change);
    const text = problem();
    Object.assign(now, before);
    return text;
  };
  t.equal(told({ state: 'new', broker: 'stopped' }), 'starting: waiting for the broker');
  t.equal(told({ state: 'new', broker: 'connecting' }), 'starting: waiting for the broker');
  t.equal(told({ state: 'new' }), 'starting');
  t.equal(told({ broker: 'lost' }), 'the broker is lost');
  t.equal(told({ broker: 'lost', quiet: true }), 'the broker is lost');
  t.equal(told({ quiet: true }), 'quiet');
  t.equal(told({ helpless: true }), 'messages are ready, and none is delivered');
  t.equal(told({ queues: [] }), 'takes tasks from no queue');
  t.equal(told({ refused: ['celery'] }), 'takes tasks from no queue: locked');
  t.equal(told({ queues: ['celery', 'mail'], refused: ['celery'] }), null, 'others are taken from');
  t.equal(told({ state: 'stopping', broker: 'lost' }), 'stopping');
  t.equal(told({ state: 'stopped' }), 'stopping');
});

t.test('told at once, and when it changes', async (t) => {
  const { now, problem } = worker();
  const clock = new FakeClock();
  const told: string[] = [];
  const line = new StatusLine({
    notify: { active: true, status: (text) => Boolean(told.push(text)) },
    nodeName: 'w@here',
    problem,
    clock,
  });
  now.state = 'new';
  now.broker = 'connecting';
  await line.start();
  await line.start();
  clock.advance(5000);
  now.broker = 'connected';
  now.state = 'running';
  clock.advance(5000);
  now.broker = 'lost';
  clock.advance(1000);
  now.broker = 'connected';
  now.quiet = true;
  clock.advance(1000);
  now.state = 'stopping';
  clock.advance(1000);
  t.same(told, [
    'w@here: starting: waiting for the broker',
    'w@here ready',
    'w@here: the broker is lost',
    'w@here: quiet',
    'w@here: stopping',
  ]);
  await line.stop();
  t.equal(clock.pending, 0);
});

t.test('nobody listens', async (t) => {
  const clock = new FakeClock();
  const line = new StatusLine({ notify: { active: false, status: () => t.fail('told') }, nodeName: 'w@here', problem: () => null, clock });
  await line.start();
  t.equal(clock.pending, 0);
});
