/** Where the calls of a task go: what the call says, completed by what the task says. */

import type { CallOptions } from './call-options.ts';

/** 1 and 2, or Celery's words for them. */
export type DeliveryMode = 1 | 2 | 'transient' | 'persistent';

/** Routing options that a task can have. */
export interface TaskRoute {
  readonly queue?: string | undefined;
  readonly exchange?: string | undefined;
  readonly routingKey?: string | undefined;
  readonly priority?: number | undefined;
  readonly deliveryMode?: DeliveryMode | undefined;
}

/**
 * The call's own options win. Who names a queue or an exchange has chosen the way: what the task says of another would contradict it.
 * Returns `said` itself when there is nothing to add.
 */
export function completeRoute<R extends TaskRoute>(said: R, task: TaskRoute): R {
  const { queue, exchange, routingKey, priority, deliveryMode } = task;
  if (queue === undefined && exchange === undefined && routingKey === undefined && priority === undefined && deliveryMode === undefined)
    return said;
  const isOtherQueue = said.queue !== undefined && said.queue !== queue;
  const isOtherExchange = said.exchange !== undefined && said.exchange !== exchange;
  return {
    ...said,
    queue: said.queue ?? (isOtherExchange ? undefined : queue),
    exchange: said.exchange ?? (isOtherQueue ? undefined : exchange),
    routingKey: said.routingKey ?? (isOtherQueue || isOtherExchange ? undefined : routingKey),
    priority: said.priority ?? priority,
    deliveryMode: said.deliveryMode ?? deliveryMode,
  };
}

export function deliveryModeNumber(mode: DeliveryMode | undefined): 1 | 2 | undefined {
  if (mode === undefined) return undefined;
  return mode === 1 || mode === 'transient' ? 1 : 2;
}

/** The routing options of a call, without the others. */
export function routeOfCall(call: CallOptions) {
  const { queue, exchange, exchangeType, routingKey, priority, mandatory, retry, retryPolicy } = call;
  const deliveryMode = deliveryModeNumber(call.deliveryMode);
  return { queue, exchange, exchangeType, routingKey, priority, deliveryMode, mandatory, retry, retryPolicy };
}
