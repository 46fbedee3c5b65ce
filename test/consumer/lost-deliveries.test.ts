/** What is lost with a connection goes on, is forgotten, or is ended; what is lost with a lease does not count. */
import t from 'tap';
import type { Broker, BrokerState, Delivery } from '../../src/broker/broker.ts';
import { LostDeliveries } from '../../src/consumer/lost-deliveries.ts';
import { Orphans } from '../../src/consumer/orphans.ts';
import { Request } from '../../src/consumer/request.ts';
import type { Decision } from '../../src/consumer/strategy.ts';
import { Job } from '../../src/pool/job.ts';
import type { TaskHeader } from '../../src/protocol/task-message.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { FakePool, taskOffer } from './doubles.ts';

function bench({ redelivers = true, cancelRunning = false } = {}) {
  let tellState = (_state: BrokerState): void => {};
  const onStateChange = (listener: typeof tellState): void => {
    tellState = listener;
  };
  const broker = { features: { redelivers }, onStateChange } as unknown as Broker;
  const log = new RecordingLog();
  const orphans = new Orphans({ broker, backend: null, log });
  const pool = new FakePool(1, []);
  const held = new Map<Delivery, { request: Request; job: Job }>();
  let timesWithdrawn = 0;
  const rateLimits = {
    withdraw: () => {
      timesWithdrawn += 1;
    },
  };
  const cancelledNews: string[] = [];
  const news = { cancelled: ({ header }: Request) => cancelledNews.push(header.id) };
  const lost = new LostDeliveries({ broker, pool, rateLimits, orphans, held, cancelRunning, news, log });
  const hold = (id: string, state: 'reserved' | 'active', acksLate = true) => {
    const header = { id, retries: 0, task: 'tasks.add', shadow: null, ignoreResult: null } as unknown as TaskHeader;
    const delivery = { tag: id, redelivered: false } as unknown as Delivery;
    const request = new Request({
      delivery,
      header,
      offer: taskOffer('tasks.add', { acksLate }),
      listener: { onReturned: () => {} } as never,
    });
    const job = new Job({ id: held.size, taskName: 'tasks.add', taskId: id, meta: '', body: '', listener: request });
    held.set(delivery, { request, job });
    pool.submit(job);
    if (state === 'active') {
      request.state = 'active';
      job.startedAtMs = 1;
      job.child = {} as never;
    }
    return { request, job, delivery };
  };
  const lose = (): void => lost.onLost([...held.keys(), { tag: 'unknown' } as unknown as Delivery]);
  const words = (): string[] => log.lines.map(({ event, level }) => `${level} ${event}`);
  return { withdrawn: () => timesWithdrawn, pool, log, hold, lose, words, orphans, cancelledNews, disconnect: () => tellState('lost') };
}

t.test('with a connection: what runs goes on, what waits is taken out, and that is said once', async (t) => {
  const { pool, log, hold, lose, words, withdrawn } = bench();
  const running = hold('running', 'active');
  const waiting = [hold('a', 'reserved'), hold('b', 'reserved')];
  lose();
  t.strictSame([running.request.lost, running.job.withdrawn], [false, false]);
  t.ok(waiting.every(({ request, job }) => request.lost && job.withdrawn));
  t.strictSame(pool.jobs, [running.job]);
  t.equal(withdrawn(), 1, 'what waits for its rate limit too');
  t.strictSame([pool.aborted, pool.cancelled], [[], []], 'no signal is aborted');
  t.strictSame(words(), ['warning consumer.held-lost']);
  t.match(log.lines[0]?.message, /1 running tasks go on, 2 that have not begun are forgotten/);
});

t.test('with a connection, to be ended: those that are acknowledged late and have not ended', async (t) => {
  const { pool, hold, lose, words, cancelledNews } = bench({ cancelRunning: true });
  const late = hold('late', 'active');
  const early = hold('early', 'active', false);
  const over = hold('over', 'active');
  over.job.child = null;
  lose();
  t.strictSame(pool.cancelled, [late.job]);
  t.strictSame(cancelledNews, ['late'], 'monitors hear of it');
  t.strictSame([late.request.lost, early.request.lost, over.request.lost], [true, false, false]);
  t.strictSame(words(), ['warning task.cancelled', 'warning consumer.held-lost']);
});

t.test('a server that forgot an acknowledgement: its task runs here', async (t) => {
  const { hold, disconnect, orphans } = bench();
  const { request } = hold('early', 'active', false);
  const again = { redelivered: true } as unknown as Delivery;
  const decision = { kind: 'run', header: request.header } as unknown as Decision;
  request.acknowledged = true;
  t.equal(orphans.reunite(again, decision), false);
  disconnect();
  t.equal(orphans.reunite(again, decision), true);
  t.equal(request.delivery, again);
});

t.test('with a lease: neither counts, and what runs is told', async (t) => {
  const { pool, hold, lose, words } = bench({ redelivers: false });
  const running = hold('running', 'active');
  const waiting = hold('waiting', 'reserved');
  lose();
  t.ok(running.request.lost && waiting.request.lost);
  t.strictSame(pool.aborted, [running.job, waiting.job]);
  t.strictSame(words(), ['warning task.lost', 'warning task.lost']);
});
