/**
 * The message a retried task goes back to the broker with: the same id, one retry more, due later.
 *
 * Source: messages.md §9.1. The parent id of the new message is the task's own id, because it is published while the task runs.
 */
import type { ChildSettings, RouteOptions } from '../ipc/exchange.ts';
import { encodeTask } from '../protocol/task-message.ts';
import type { Retry } from '../task/control-flow.ts';
import { customHeaders, retryUntilHeader } from './custom-headers.ts';
import { origin } from './origin.ts';
import type { OutgoingMessage, PreparedTask } from './run-task.ts';

/** Throws when replaced arguments cannot be encoded. */
export function retryMessage(task: PreparedTask, settings: ChildSettings, retry: Retry): OutgoingMessage {
  const { header, content, meta } = task;
  const { exchange, routing_key: routingKey } = meta.deliveryInfo;
  const { queue, timeLimit, softTimeLimit } = retry.changes;
  const priority = retry.changes.priority ?? meta.deliveryInfo.priority;
  const message = encodeTask({
    task: header.task,
    id: header.id,
    args: retry.args ?? content.args,
    kwargs: retry.kwargs ?? content.kwargs,
    origin,
    etaMs: retry.etaMs,
    expiresMs: header.expiresMs,
    retries: header.retries + (retry.isAttempt ? 1 : 0),
    group: header.group,
    groupIndex: header.groupIndex,
    rootId: header.rootId,
    parentId: header.id,
    hardTimeLimitSeconds: timeLimit ?? header.hardTimeLimitSeconds,
    softTimeLimitSeconds: softTimeLimit ?? header.softTimeLimitSeconds,
    shadow: header.shadow,
    ignoreResult: header.ignoreResult,
    replyTo: meta.properties.replyTo ?? null,
    priority,
    callbacks: content.callbacks,
    errbacks: content.errbacks,
    chain: content.chain,
    chord: content.chord,
    stampedHeaders: header.stampedHeaders,
    stamps: header.stamps,
    replacedTaskNesting: header.replacedTaskNesting,
    headers: { ...customHeaders(meta.headers), ...(retry.untilMs === null ? null : { [retryUntilHeader]: retry.untilMs }) },
    // A message of protocol 1 has no place for a chain, so what came as protocol 2 goes back as such.
    protocol: header.protocol === 2 ? 2 : settings.taskProtocol,
  });
  return {
    meta: {
      taskName: header.task,
      taskId: header.id,
      headers: message.headers,
      properties: message.properties,
      route: { ...routeOf(queue, exchange, routingKey), priority: priority ?? undefined },
      dueAtMs: retry.etaMs,
    },
    body: message.body,
  };
}

function routeOf(queue: string | undefined, exchange: string, routingKey: string): RouteOptions {
  if (queue !== undefined) return { queue };
  // To this queue alone, also when it has an exchange of its own that others listen to.
  return exchange === '' ? { queue: routingKey, exchange, routingKey } : { exchange, routingKey };
}
