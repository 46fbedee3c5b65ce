/** Whether a worker takes tasks, for probes and for the status line of systemd. */
import type { Broker, Subscription } from '../broker/broker.ts';
import type { NodeState } from './node-state.ts';

export interface ReadinessParams {
  readonly broker: Pick<Broker, 'state'>;
  readonly consumer: { readonly subscription: Pick<Subscription, 'queues' | 'refusedQueues' | 'refusal'> | null };
  state(): NodeState;
  isQuiet(): boolean;
  /** It should get messages, gets none, and has done all against it that it may. */
  isHelpless(): boolean;
}

/** null: it takes tasks. */
export function unready({ broker, consumer, state, isQuiet, isHelpless }: ReadinessParams): string | null {
  if (state() === 'stopping' || state() === 'stopped') return 'stopping';
  // Before its first connection it has lost nothing.
  if (broker.state !== 'connected') return state() === 'new' ? 'starting: waiting for the broker' : `the broker is ${broker.state}`;
  if (state() === 'new') return 'starting';
  if (isQuiet()) return 'quiet';
  if (isHelpless()) return 'messages are ready, and none is delivered';
  const { queues, refusedQueues = [], refusal } = consumer.subscription ?? { queues: [] };
  if (queues.length === 0) return 'takes tasks from no queue';
  return refusedQueues.length < queues.length ? null : `takes tasks from no queue: ${refusal ?? 'the broker refuses'}`;
}
