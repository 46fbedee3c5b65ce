/**
 * From the settings of queues and routes to what the producer takes.
 *
 * Owns what is filled in where a queue leaves it open, as Celery does, and what the keys of a queue mean as arguments to RabbitMQ.
 */
import type { RoutingParams } from '../client/client.ts';
import { argumentOfKey, type QueueSetting } from '../config/queue-kind.ts';
import { type RouteSetting, type retryPolicyFields, routerModule } from '../config/route-kind.ts';
import type { Settings } from '../config/settings-table.ts';
import type { TableOf } from '../config/table-kind.ts';
import type { RetryPolicy } from '../producer/publish-retry.ts';
import { QueueTable, type TaskQueue } from '../producer/queue-table.ts';
import { MapRouter, type RouteOptions, type Router } from '../producer/router.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { RouterModule } from '../task/router-module.ts';
import { ModuleRouter } from './module-router.ts';

/** The modules of the routers, in their order. */
export function routerModules(settings: Settings): readonly RouterModule[] {
  return settings.task_routes.filter((router) => typeof router === 'string').map(moduleOf);
}

function moduleOf(router: string): RouterModule {
  return routerModule(router) ?? { path: router, exportName: 'default' };
}

/** `queues`: the table, where there is one already. */
export function routingParams(settings: Settings, queues: QueueTable = queueTableOf(settings)): RoutingParams {
  return {
    queues,
    routers: settings.task_routes.map((router): Router => {
      if (typeof router !== 'string') return new MapRouter(router.map(([pattern, route]) => [pattern, routeOf(route)]));
      return new ModuleRouter(moduleOf(router));
    }),
    defaultPriority: settings.task_default_priority,
    defaultDeliveryMode: settings.task_default_delivery_mode,
    retry: settings.task_publish_retry,
    retryPolicy: { ...policyOf(settings.broker_transport_options), ...policyOf(settings.task_publish_retry_policy) },
  };
}

export function queueTableOf(settings: Settings): QueueTable {
  const types = exchangeTypesOf(settings);
  const missingType = settings.task_create_missing_queue_exchange_type;
  return new QueueTable({
    queues: Object.entries(settings.task_queues).map(([name, queue]) => queueOf(name, queue, settings, types)),
    defaultQueue: {
      name: settings.task_default_queue,
      exchange: defaultExchange(settings),
      exchangeType: settings.task_default_exchange_type,
      routingKey: settings.task_default_routing_key ?? settings.task_default_queue,
      ...withArguments(settings.task_default_queue_type === 'quorum' ? { 'x-queue-type': 'quorum' } : {}, settings),
    },
    createMissing: settings.task_create_missing_queues,
    missing: {
      ...(missingType === null ? null : { exchangeType: missingType }),
      ...withArguments(settings.task_create_missing_queue_type === 'quorum' ? { 'x-queue-type': 'quorum' } : {}, settings),
    },
  });
}

function defaultExchange(settings: Settings): string {
  return settings.task_default_exchange ?? settings.task_default_queue;
}

/** What is said of exchanges anywhere: a queue need not repeat what another one says. */
function exchangeTypesOf(settings: Settings): ReadonlyMap<string, TaskQueue['exchangeType']> {
  const types = new Map<string, TaskQueue['exchangeType']>([[defaultExchange(settings), settings.task_default_exchange_type]]);
  for (const [name, queue] of Object.entries(settings.task_queues)) {
    const exchange = queue.exchange ?? (queue.broadcast ? name : defaultExchange(settings));
    if (queue.broadcast) types.set(exchange, 'fanout');
    else if (queue.exchange_type !== undefined) types.set(exchange, queue.exchange_type);
    for (const binding of queue.bindings ?? [])
      if (binding.exchange_type !== undefined) types.set(binding.exchange ?? '', binding.exchange_type);
  }
  return types;
}

function queueOf(name: string, queue: QueueSetting, settings: Settings, types: ReturnType<typeof exchangeTypesOf>): TaskQueue {
  const argumentsGiven: Record<string, unknown> = { ...queue.queue_arguments };
  for (const [key, argument] of Object.entries(argumentOfKey)) {
    const value = queue[key as keyof typeof argumentOfKey];
    if (value !== undefined) argumentsGiven[argument] = key === 'expires' || key === 'message_ttl' ? Math.round(value * 1000) : value;
  }
  // With bindings of its own choice it has no other, unless it says so.
  const exchange = queue.exchange ?? (queue.broadcast ? name : queue.bindings === undefined ? defaultExchange(settings) : '');
  return {
    ...(queue.broadcast ? { name: `bcast.${newUuid()}`, alias: name, broadcast: true } : { name }),
    exchange,
    exchangeType: types.get(exchange) ?? 'direct',
    routingKey: queue.routing_key ?? (queue.broadcast ? (settings.task_default_routing_key ?? settings.task_default_queue) : name),
    durable: queue.durable ?? true,
    autoDelete: queue.auto_delete ?? queue.broadcast ?? false,
    exclusive: queue.exclusive ?? false,
    ...withArguments(argumentsGiven, settings),
    ...(queue.bindings === undefined
      ? null
      : {
          bindings: queue.bindings.map((binding) => ({
            exchange: binding.exchange ?? '',
            exchangeType: types.get(binding.exchange ?? '') ?? 'direct',
            routingKey: binding.routing_key ?? '',
            ...(binding.arguments === undefined ? null : { arguments: binding.arguments }),
          })),
        }),
    ...(queue.binding_arguments === undefined ? null : { bindingArguments: queue.binding_arguments }),
    ...(queue.consumer_arguments === undefined ? null : { consumerArguments: queue.consumer_arguments }),
    ...(queue.no_declare ? { noDeclare: true } : null),
    ...(queue.delivery_mode === undefined ? null : { deliveryMode: queue.delivery_mode }),
  };
}

/** Quorum queues have no priorities of RabbitMQ's classic kind, and refuse the argument. */
function withArguments(given: Readonly<Record<string, unknown>>, settings: Settings): Pick<TaskQueue, 'arguments'> {
  const max = settings.task_queue_max_priority;
  const all = max === null || given['x-queue-type'] === 'quorum' ? given : { 'x-max-priority': max, ...given };
  return Object.keys(all).length === 0 ? {} : { arguments: all };
}

function routeOf(route: RouteSetting): RouteOptions {
  return {
    queue: route.queue,
    exchange: route.exchange,
    exchangeType: route.exchange_type,
    routingKey: route.routing_key,
    priority: route.priority,
    deliveryMode: route.delivery_mode,
    retry: route.retry,
    retryPolicy: route.retry_policy === undefined ? undefined : policyOf(route.retry_policy),
  };
}

type PolicyTable = TableOf<typeof retryPolicyFields>;

function policyOf(policy: PolicyTable): Partial<RetryPolicy> {
  return {
    ...(policy.max_retries === undefined ? null : { maxRetries: policy.max_retries }),
    ...(policy.interval_start === undefined ? null : { intervalStart: policy.interval_start }),
    ...(policy.interval_step === undefined ? null : { intervalStep: policy.interval_step }),
    ...(policy.interval_max === undefined ? null : { intervalMax: policy.interval_max }),
  };
}
