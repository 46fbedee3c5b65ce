/**
 * From routing options to the exchange and the routing key, by Celery's rules.
 *
 * Source: messages.md §2.7; the guide's order of who decides. Pure, but for queues made in the table because they are named.
 */
import type { ExchangeType } from '../broker/broker.ts';
import type { QueueTable, TaskQueue } from './queue-table.ts';
import type { RouteOptions } from './router.ts';

export interface Target {
  readonly exchange: string;
  readonly routingKey: string;
  /** The queue it is for; null: only the broker knows. */
  readonly queue: TaskQueue | null;
}

/** What call and task have said, completed by a router. Who names a queue does not get the exchange of another one. */
export function mergeRoutes(said: RouteOptions, routed: RouteOptions): RouteOptions {
  const merged: { -readonly [Key in keyof RouteOptions]: RouteOptions[Key] } = { ...routed };
  if (said.queue !== undefined && said.queue !== routed.queue) {
    delete merged.exchange;
    delete merged.exchangeType;
    delete merged.routingKey;
  }
  for (const [key, value] of Object.entries(said)) if (value !== undefined) Object.assign(merged, { [key]: value });
  return merged;
}

/** Throws QUEUE_UNKNOWN. */
export function targetOf(route: RouteOptions, table: QueueTable): Target {
  const { exchange, routingKey } = route;
  // The default exchange by its name: the key is the queue.
  const named = route.queue ?? (exchange === '' ? routingKey : undefined);
  const queue = named === undefined ? table.default : table.find(named);
  const isNamedExchange = exchange !== undefined && exchange !== '';
  const type: ExchangeType =
    route.exchangeType ?? (isNamedExchange ? table.exchangeType(exchange) : undefined) ?? queue.exchangeType ?? 'direct';
  const isQueueItself = exchange === '' && routingKey === queue.name && type !== 'fanout';
  if (isQueueItself || (type === 'direct' && !(isNamedExchange && routingKey !== undefined)))
    return { exchange: '', routingKey: queue.name, queue };
  if (isNamedExchange) {
    // The key of a broadcast says nothing to anybody, but with Redis it is part of the channel that Python workers listen to.
    const otherwise = type === 'fanout' ? table.defaultRoutingKey : '';
    return { exchange, routingKey: routingKey ?? otherwise, queue: named === undefined ? null : queue };
  }
  const own = queue.exchange ?? queue.name;
  if (own === '') return { exchange: '', routingKey: queue.name, queue };
  return { exchange: own, routingKey: routingKey ?? queue.routingKey ?? queue.name, queue };
}
