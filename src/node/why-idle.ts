/**
 * One sentence about a worker: why it runs nothing, or what it is busy with. For `umbel ctl why`.
 *
 * Owns the order of the reasons: the one that must be dealt with first comes first.
 */
import type { Broker } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { ChildPool } from '../pool/child-pool.ts';
import { systemClock } from '../std/clock.ts';

export interface WhyParams {
  readonly broker: Broker;
  /** Unix ms; null: it is there. */
  readonly brokerLostAtMs: number | null;
  readonly consumer: Consumer;
  readonly pool: ChildPool;
  /** Tasks that may run at a time. */
  readonly slots: number;
  readonly quiet: boolean;
}

/** Tasks and queues named in one sentence. */
const mostNamed = 4;

export async function whyIdle({ broker, brokerLostAtMs, consumer, pool, slots, quiet }: WhyParams): Promise<string> {
  const now = Date.now();
  if (brokerLostAtMs !== null) return `The broker (${broker.displayUrl}) is away since ${new Date(brokerLostAtMs).toISOString()}.`;
  const { subscription } = consumer;
  if (subscription === null) return 'It is starting or stopping: it takes no tasks.';
  if (quiet) return 'It is quiet (SIGTSTP): no task is taken until SIGCONT.';
  if (pool.tasks.size === 0) return 'Its task modules export no task: every message is rejected.';
  if (subscription.queues.length === 0) return 'It takes tasks from no queue: all were cancelled.';
  if (subscription.heldUntilMs <= systemClock.monotonic())
    return 'The broker has not confirmed for a whole lease that this worker lives: no task is started until it has.';
  const running = consumer.active;
  if (running.length >= slots) {
    const busy = running
      .slice(0, mostNamed)
      .map(
        ({ label, pid, startedAtSeconds }) =>
          `${label} for ${Math.max(0, Math.round(now / 1000 - (startedAtSeconds ?? 0)))} s in process ${pid}`,
      );
    return `${slots === 1 ? 'Its one place is' : `All ${slots} places are`} taken: ${busy.join(', ')}${more(running.length)}.`;
  }
  const limited = consumer.rateLimits.waiting;
  if (limited > 0) {
    const limits = [...consumer.rateLimits.limits].slice(0, mostNamed).map(([name, limit]) => `${name} ${limit}`);
    return `${limited} ${limited === 1 ? 'task waits' : 'tasks wait'} for rate limits (${limits.join(', ')}); ${running.length} of ${slots} places are taken.`;
  }
  if (pool.pids.length === 0 && pool.name === 'prefork') return 'No child is up.';
  if (running.length > 0) return `It runs ${running.length} of at most ${slots} tasks, and nothing else waits here.`;
  const ready = await countReady(broker, subscription.queues);
  const queues = subscription.queues.slice(0, mostNamed).join(', ') + more(subscription.queues.length);
  if (ready === null) return `Nothing waits here; how much is in its queues (${queues}) cannot be told.`;
  if (ready === 0) {
    const scheduled = await subscription.scheduled(1).catch(() => []);
    const next = scheduled[0];
    return `Its queues (${queues}) are empty${next === undefined ? '' : `; the next scheduled task is due ${new Date(next.dueAtMs).toISOString()}`}.`;
  }
  const messages = ready === 1 ? '1 message is' : `${ready} messages are`;
  return `${messages} ready in its queues (${queues}) and places are free: ${ready === 1 ? 'it is' : 'they are'} about to be taken.`;
}

async function countReady(broker: Broker, queues: readonly string[]): Promise<number | null> {
  try {
    const counts = await Promise.all(queues.map((queue) => broker.countReady(queue)));
    return counts.reduce((sum, count) => sum + count, 0);
  } catch {
    return null;
  }
}

function more(count: number): string {
  return count > mostNamed ? ` and ${count - mostNamed} more` : '';
}
