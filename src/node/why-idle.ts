/**
 * One sentence about a worker: why it runs nothing, or what it is busy with. For `umbel ctl why`.
 *
 * Owns the order of the reasons: the one that must be dealt with first comes first. What it says must be so: where nothing is known, it says that.
 */
import type { Broker, Subscription } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { Request } from '../consumer/request.ts';
import type { ChildPool } from '../pool/child-pool.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import type { NodeState } from './node-state.ts';

export interface WhyParams {
  readonly broker: Pick<Broker, 'displayUrl' | 'countReady' | 'blocked'>;
  /** Unix ms; null: it is there. */
  readonly brokerLostAtMs: number | null;
  readonly state: NodeState;
  readonly consumer: Pick<Consumer, 'subscription' | 'held' | 'rateLimits'>;
  readonly pool: Pick<ChildPool, 'tasks' | 'pids' | 'name' | 'jobCount'>;
  /** Tasks that may run at a time. */
  readonly slots: number;
  readonly quiet: boolean;
  /** Messages have been ready for a whole interval of the watch, and none has come. */
  readonly stalled: boolean;
  readonly clock?: Clock;
}

/** Tasks and queues named in one sentence. */
const mostNamed = 4;
/** What a broker that stands still is waited for in all: who asks `umbel ctl` waits 5 s, and would take this worker for one that does not answer. */
const brokerPatienceMs = 2000;

/** null: it failed, or it has not come in time. */
type InTime = <T>(answer: Promise<T>) => Promise<T | null>;

export async function whyIdle(params: WhyParams): Promise<string> {
  const { broker, brokerLostAtMs, state, consumer, pool, slots, quiet, clock = systemClock } = params;
  const active = [...consumer.held].filter(({ request }) => request.state === 'active');
  // What has ended stays active until its end is recorded, which a broker that is away does not do.
  const running = active.filter(({ job }) => job.inChild).map(({ request }) => request);
  const ended = active.length - running.length;
  if (state === 'stopping' || state === 'stopped')
    return running.length === 0
      ? 'It is stopping: no task is taken any more.'
      : `It is stopping, and waits for what runs: ${named(running)}.`;
  if (brokerLostAtMs !== null) {
    const since = `The broker (${broker.displayUrl}) is away since ${new Date(brokerLostAtMs).toISOString()}`;
    const goesOn = running.length === 0 ? '' : `; what runs goes on: ${named(running)}`;
    return `${since}${goesOn}${ended === 0 ? '' : `; ${tasks(ended, 'that has ended waits', 'that have ended wait')} for it`}.`;
  }
  const { subscription } = consumer;
  if (state === 'new' || subscription === null) return 'It is starting: no task is taken yet.';
  if (quiet) return 'It is quiet (SIGTSTP): no task is taken until SIGCONT.';
  if (pool.tasks.size === 0) return 'Its task modules export no task: every message is rejected.';
  if (subscription.queues.length === 0) return 'It takes tasks from no queue: all were cancelled.';
  if (subscription.heldUntilMs <= clock.monotonic())
    return 'The broker has not confirmed for a whole lease that this worker lives: no task is started until it has.';
  const places = `${running.length} of ${slots} ${slots === 1 ? 'place is' : 'places are'} taken`;
  const others = subscription.hasRoom ? '' : ' As many are held as may be: what is behind them in the queues waits, too.';
  const { blocked = null } = broker;
  if (blocked !== null && ended > 0) {
    const waits = tasks(ended, 'has ended and waits until what comes of it is', 'have ended and wait until what comes of them is');
    return `The broker (${broker.displayUrl}) takes no messages for the moment: ${blocked}. ${waits} taken; ${places}.${others}`;
  }
  if (running.length >= slots) return `${slots === 1 ? 'Its one place is' : `All ${slots} places are`} taken: ${named(running)}.`;
  if (pool.pids.length === 0 && (pool.name === 'prefork' || pool.name === 'async')) return 'No child is up: the log says why.';
  const limited = consumer.rateLimits.waiting;
  if (limited > 0) {
    const limits = [...consumer.rateLimits.waitingLimits];
    const which = limits.slice(0, mostNamed).map(([name, limit]) => `${name} ${limit}`);
    return `${tasks(limited, 'waits', 'wait')} for rate limits (${which.join(', ')}${more(limits.length)}); ${places}.${others}`;
  }
  const waiting = pool.jobCount - running.length;
  if (waiting > 0)
    return `${tasks(waiting, 'waits', 'wait')} for a child that is starting, being replaced or kept for one task alone; ${places}.`;
  if (ended > 0 && !subscription.hasRoom) {
    const by = 'until the broker or the result backend has taken what comes of';
    return `${tasks(ended, `has ended and waits ${by} it`, `have ended and wait ${by} them`)}; ${places}.${others}`;
  }
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = clock.setTimer(() => resolve(null), brokerPatienceMs);
  const inTime: InTime = (answer) => Promise.race([answer.catch(() => null), late]);
  return queuesOf(params, subscription, running, places, inTime).finally(() => clock.clearTimer(timer));
}

/** Nothing here is in the way: what is in the queues? */
async function queuesOf(
  { broker, stalled }: WhyParams,
  subscription: Subscription,
  running: readonly Request[],
  places: string,
  inTime: InTime,
): Promise<string> {
  const queues = subscription.queues.slice(0, mostNamed).join(', ') + more(subscription.queues.length);
  const runs = running.length === 0 ? '' : ` ${running.length === 1 ? 'One task runs' : `${running.length} tasks run`}: ${named(running)}.`;
  if (typeof subscription.refusal === 'string') return `The broker refuses messages: ${subscription.refusal.replace(/\.$/, '')}.${runs}`;
  const ready = await inTime(countReady(broker, subscription.queues));
  if (ready === null) return `Nothing waits here; how much is in its queues (${queues}) cannot be told.${runs}`;
  if (ready === 0) {
    const next = (await inTime(subscription.scheduled(1)))?.[0];
    return `Its queues (${queues}) are empty${next === undefined ? '' : `; the next scheduled task is due ${new Date(next.dueAtMs).toISOString()}`}.${runs}`;
  }
  const messages = `${ready === 1 ? '1 message is' : `${ready} messages are`} ready in its queues (${queues})`;
  if (stalled) return `${messages}, ${places}, and the broker delivers nothing: the worker consumes anew by itself.${runs}`;
  const counting = subscription.countOwed?.();
  const owed = counting === undefined ? ready : await inTime(counting);
  if (owed === null) return `${messages}, and ${places}; whether the broker keeps them for another consumer cannot be told.${runs}`;
  if (owed === 0) return `${messages}, and the broker keeps them for another consumer.${runs}`;
  return `${messages}, and ${places}: ${ready === 1 ? 'it is' : 'they are'} about to be taken.`;
}

function named(running: readonly Request[]): string {
  const now = Date.now() / 1000;
  const some = running
    .slice(0, mostNamed)
    .map(
      ({ label, pid, startedAtSeconds }) => `${label} for ${Math.max(0, Math.round(now - (startedAtSeconds ?? now)))} s in process ${pid}`,
    );
  return some.join(', ') + more(running.length);
}

async function countReady(broker: Pick<Broker, 'countReady'>, queues: readonly string[]): Promise<number> {
  const counts = await Promise.all(queues.map((queue) => broker.countReady(queue)));
  return counts.reduce((sum, count) => sum + count, 0);
}

function tasks(count: number, one: string, many: string): string {
  return count === 1 ? `1 task ${one}` : `${count} tasks ${many}`;
}

function more(count: number): string {
  return count > mostNamed ? ` and ${count - mostNamed} more` : '';
}
